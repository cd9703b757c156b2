use offspring::{Template, preload};

preload!(WORDS(Vec<String>) -> usize = |words: Vec<String>| Ok::<_, String>(words.len()));

fn main() {
    offspring::init();
    Template::builder().preload(WORDS.with(vec!["one".to_owned()])).start().unwrap();
}
