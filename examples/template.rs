//! Children of a template: a table that takes long to load is loaded once, and each child has it from the start.
//!
//! ```text
//! cargo run --example template
//! ```

use std::collections::BTreeMap;

use offspring::{Template, preload, worker};

const TEXT: &str = "how much wood would a woodchuck chuck \
    if a woodchuck could chuck wood";

type Counts = BTreeMap<String, usize>;

/// Runs in the template, once. A real table may take a minute and a gigabyte.
fn count(text: String) -> Result<Counts, String> {
    let mut counts = Counts::new();
    for word in text.split_whitespace() {
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    if counts.is_empty() {
        return Err("the text is empty".into());
    }
    Ok(counts)
}

preload!(COUNTS(String) -> Counts = count);

/// Runs in the children.
fn look_up(word: String) -> String {
    let counts = COUNTS.get().expect("the template has loaded them");
    counts.get(&word).copied().unwrap_or(0).to_string()
}

worker!(LOOK_UP: fn(String) -> String = look_up);

fn main() -> Result<(), offspring::Error> {
    offspring::init();
    let template = Template::builder().preload(COUNTS.with(TEXT)).start()?;
    for word in ["wood", "chuck", "would", "coal"] {
        // A child for each word: a start from a template takes half a millisecond.
        let rpc = LOOK_UP.template(&template).spawn()?;
        println!("{word}: {}", rpc.call(word).wait()?);
        rpc.join().wait()?;
    }
    Ok(())
}
