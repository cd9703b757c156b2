use crate::bytes::{Bytes, BytesRef};
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Converts a caller's argument to what is encoded for a `T`.
///
/// An argument may be borrowed: `&T` for any `T`, `&str` for a `String`, `&Path` for a `PathBuf`,
/// slices and arrays for a `Vec`, text, paths and byte slices for [`Bytes`].
///
/// ```
/// use offspring_serialisers::SendAs;
///
/// fn form<T, A: SendAs<T>>(argument: A) -> A::Form {
///     argument.into_form()
/// }
///
/// assert_eq!(form::<i32, _>(3), 3);
/// assert_eq!(form::<i32, _>(&3), &3);
/// assert_eq!(form::<String, _>("text"), "text");
/// // An array becomes a slice, because serde would write it as a tuple.
/// let list: &[u16] = form::<Vec<u16>, _>(&[1, 2, 3]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as the argument `{T}`",
    label = "the worker takes `{T}` here",
    note = "an argument may be the type itself, a reference to it, or another form, such as `&str` for `String`; with `features = [\"bytes\"]` for `offspring` also `bytes::Bytes` for `Bytes`"
)]
pub trait SendAs<T> {
    /// The type that is passed to the serialiser.
    type Form;

    /// Converts the argument. Borrowed data stay borrowed.
    ///
    /// ```
    /// # use offspring_serialisers::SendAs;
    /// let form: &str = SendAs::<String>::into_form("text");
    /// ```
    fn into_form(self) -> Self::Form;
}

impl<T> SendAs<T> for T {
    type Form = T;

    fn into_form(self) -> T {
        self
    }
}

impl<'a, T> SendAs<T> for &'a T {
    type Form = &'a T;

    fn into_form(self) -> &'a T {
        self
    }
}

/// Lines of the form `argument => types that it may be sent as : its form = conversion;`.
macro_rules! send_as {
    ($($({$($generic:tt)+})? $from:ty => $($to:ty),+ : $form:ty = $how:expr;)*) => {$(
        send_as!(@each [$($($generic)+)?] $from, {$($to),+}, $form, $how);
    )*};
    (@each $generics:tt $from:ty, {$($to:ty),+}, $form:ty, $how:expr) => {$(
        send_as!(@one $generics $from, $to, $form, $how);
    )+};
    (@one [$($generic:tt)*] $from:ty, $to:ty, $form:ty, $how:expr) => {
        impl<$($generic)*> SendAs<$to> for $from {
            type Form = $form;

            fn into_form(self) -> $form {
                let how: fn($from) -> $form = $how;
                how(self)
            }
        }
    };
}

// Text, for text and paths.
send_as! {
    {'a} &'a str => String, Box<str>, Cow<'static, str>, PathBuf, Box<Path> : &'a str = |text| text;
    {'a} &'a String => Box<str>, Cow<'static, str>, PathBuf : &'a str = |text| text;
    {'a} Cow<'a, str> => String, PathBuf : Cow<'a, str> = |text| text;
    {'a, 'b} &'a Cow<'b, str> => String, PathBuf : &'a str = |text| text;
    {'a, 'b} &'a &'b str => String, PathBuf : &'b str = |text| text;
    {'a} &'a Box<str> => String, PathBuf : &'a str = |text| text;
    Box<str> => String, PathBuf : Box<str> = |text| text;
    String => Box<str>, Cow<'static, str>, PathBuf : String = |text| text;
}

// Paths and `OsString`s, which serde encodes in different ways.
send_as! {
    {'a} &'a Path => PathBuf, Box<Path> : &'a Path = |path| path;
    {'a} &'a PathBuf => Box<Path> : &'a Path = |path| path;
    {'a, 'b} &'a &'b Path => PathBuf : &'b Path = |path| path;
    {'a} Cow<'a, Path> => PathBuf : Cow<'a, Path> = |path| path;
    {'a} &'a OsStr => PathBuf : &'a Path = Path::new;
    {'a} &'a OsString => PathBuf : &'a Path = Path::new;
    OsString => PathBuf : PathBuf = PathBuf::from;
    {'a} &'a str => OsString : &'a OsStr = OsStr::new;
    {'a} &'a String => OsString : &'a OsStr = OsStr::new;
    {'a} &'a OsStr => OsString : &'a OsStr = |string| string;
    {'a} &'a Path => OsString : &'a OsStr = Path::as_os_str;
    {'a} &'a PathBuf => OsString : &'a OsStr = |path| path.as_os_str();
    String => OsString : OsString = OsString::from;
    PathBuf => OsString : OsString = PathBuf::into_os_string;
}

// Bytes, text and paths, for `Vec<u8>` and `Bytes`.
send_as! {
    {'a} &'a str => Vec<u8> : &'a [u8] = str::as_bytes;
    {'a} &'a String => Vec<u8> : &'a [u8] = |text| text.as_bytes();
    {'a} &'a Path => Vec<u8> : &'a [u8] = |path| path.as_os_str().as_bytes();
    {'a} &'a PathBuf => Vec<u8> : &'a [u8] = |path| path.as_os_str().as_bytes();
    {'a} &'a OsStr => Vec<u8> : &'a [u8] = OsStrExt::as_bytes;
    {'a} &'a OsString => Vec<u8> : &'a [u8] = |string| string.as_bytes();
    {'a} &'a Bytes => Vec<u8> : &'a [u8] = |bytes| bytes;
    {'a} BytesRef<'a> => Vec<u8> : &'a [u8] = |bytes| bytes.0;
    {'a} &'a str => Bytes : BytesRef<'a> = |text| BytesRef(text.as_bytes());
    {'a} &'a String => Bytes : BytesRef<'a> = |text| BytesRef(text.as_bytes());
    {'a} &'a Path => Bytes : BytesRef<'a> = |path| BytesRef(path.as_os_str().as_bytes());
    {'a} &'a PathBuf => Bytes : BytesRef<'a> = |path| BytesRef(path.as_os_str().as_bytes());
    {'a} &'a OsStr => Bytes : BytesRef<'a> = |string| BytesRef(string.as_bytes());
    {'a} &'a OsString => Bytes : BytesRef<'a> = |string| BytesRef(string.as_bytes());
    {'a} &'a [u8] => Bytes : BytesRef<'a> = BytesRef;
    {'a} &'a Vec<u8> => Bytes : BytesRef<'a> = |bytes| BytesRef(bytes);
    {'a} BytesRef<'a> => Bytes : BytesRef<'a> = |bytes| bytes;
    {'a} Cow<'a, [u8]> => Bytes : Bytes = |bytes| Bytes(bytes.into_owned());
    String => Vec<u8> : Vec<u8> = String::into_bytes;
    PathBuf => Vec<u8> : Vec<u8> = |path| path.into_os_string().into_vec();
    OsString => Vec<u8> : Vec<u8> = OsStringExt::into_vec;
    Bytes => Vec<u8> : Vec<u8> = Bytes::into_vec;
    String => Bytes : Bytes = Bytes::from;
    PathBuf => Bytes : Bytes = |path| Bytes(path.into_os_string().into_vec());
    OsString => Bytes : Bytes = |string| Bytes(string.into_vec());
    Vec<u8> => Bytes : Bytes = Bytes;
    Box<[u8]> => Bytes : Bytes = |bytes| Bytes(bytes.into_vec());
}

// Lists. Converted to slices, because serde would write an array as a tuple.
send_as! {
    {'a, X} &'a [X] => Vec<X>, Box<[X]> : &'a [X] = |list| list;
    {'a, X} &'a Vec<X> => Box<[X]> : &'a [X] = |list| list;
    {X} Box<[X]> => Vec<X> : Box<[X]> = |list| list;
    {'a, X, const N: usize} &'a [X; N] => Vec<X> : &'a [X] = |list| list;
    {X, const N: usize} [X; N] => Vec<X> : Vec<X> = Vec::from;
    {'a, const N: usize} &'a [u8; N] => Bytes : BytesRef<'a> = |list| BytesRef(list);
    {const N: usize} [u8; N] => Bytes : Bytes = |list| Bytes(list.into());
}
