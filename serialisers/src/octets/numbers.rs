//! Numbers, `bool` and `char` as byte strings: their text, as Perl prints and reads it.

use std::fmt::Display;
use std::io::Write;
use std::str::FromStr;

use super::strings::{AsOctetStrings, FromOctetStrings, OneByte, OneString};
use super::{ListReader, ListWriter, wrong};
use crate::error::Error;

/// Lines of the form `types: kind, value output => how to write it, how to parse it;`.
macro_rules! numbers {
    ($($($t:ty)+: $number:ty, $value:ident $to:ident => $write:expr, $read:expr;)*) => {$($(
        impl AsOctetStrings for $t {
            type Number = $number;

            fn write_strings(&self, list: &mut ListWriter<'_>) {
                let $value = *self;
                list.push_short(|$to| $write);
            }
        }

        impl FromOctetStrings for $t {
            type Number = $number;

            fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
                read(list, stringify!($t), $read)
            }
        }
    )+)*};
}

numbers! {
    i8 i16 i32 i64 i128 isize u16 u32 u64 u128 usize: OneString, number to => write!(to, "{number}"), FromStr::from_str;
    u8: OneByte, number to => write!(to, "{number}"), FromStr::from_str;
    f32 f64: OneString, number to => match number.abs() {
        1e-5..1e16 | 0.0 => write!(to, "{number}"),
        // Without an exponent the text may have 300 digits.
        _ => write!(to, "{number:e}"),
    }, FromStr::from_str;
    bool: OneString, truth to => write!(to, "{}", u8::from(truth)), truth;
    char: OneString, char to => write!(to, "{char}"), FromStr::from_str;
}

/// Parses a truth value. Perl's false is the empty string, or 0.
fn truth(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "true" => Ok(true),
        "" | "0" | "false" => Ok(false),
        _ => Err("wanted 1 or 0"),
    }
}

fn read<T, E: Display>(
    list: &mut ListReader<'_>,
    name: &str,
    parse: fn(&str) -> Result<T, E>,
) -> Result<T, Error> {
    let bytes = list.take_string()?;
    let error = |why: &dyn Display| wrong(format_args!("{} is no {name}: {why}", Quoted(bytes)));
    let text = str::from_utf8(bytes).map_err(|_| error(&"it is not UTF-8"))?;
    parse(text).map_err(|why| error(&why))
}

/// Displays up to 40 of these bytes, quoted and escaped.
struct Quoted<'a>(&'a [u8]);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const MOST: usize = 40;
        let (some, rest) = self.0.split_at(self.0.len().min(MOST));
        let more = if rest.is_empty() { "" } else { "…" };
        write!(f, "\"{}{more}\"", some.escape_ascii())
    }
}
