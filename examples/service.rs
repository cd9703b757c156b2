//! A library that you don't want in your process, as a service: the state of a child implements a trait, and the parent
//! calls its methods. With one child, with a pool, and with a method of the pool for each of many items.
//!
//! ```text
//! cargo run --example service --features cbor
//! ```

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Context;
use offspring::{Events, service, worker};

service! {
    /// Reads documents.
    pub trait Documents => DocumentsClient, serialiser = offspring::Cbor, events = Progress {
        /// Opens a document. Returns its number.
        fn open(&mut self, path: PathBuf) -> Result<u32, String>;
        /// Returns the words of a page. The first is page 1.
        fn words(&self, document: u32, page: usize) -> Option<Vec<String>>;
        /// Counts a word. Sends an event for each page.
        fn count(&self, document: u32, word: String, events: &Events<Progress>) -> usize;
        /// Closes all documents.
        fn clear(&mut self);
    }
}

/// How many pages are done, and how many the document has.
pub type Progress = (usize, usize);

/// The state of the child: open documents, as pages.
struct Library {
    folder: PathBuf,
    open: HashMap<u32, Vec<String>>,
}

impl Library {
    /// Fails if the folder does not exist. All calls fail with that error.
    fn new(folder: PathBuf) -> std::io::Result<Self> {
        std::fs::read_dir(&folder)?;
        Ok(Self {
            folder,
            open: HashMap::new(),
        })
    }

    fn pages(&self, document: u32) -> &[String] {
        self.open.get(&document).map_or(&[], Vec::as_slice)
    }
}

impl Documents for Library {
    fn open(&mut self, path: PathBuf) -> Result<u32, String> {
        let path = self.folder.join(path);
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        let number = self.open.len() as u32;
        let pages = text.split("\n\n").map(str::to_owned).collect();
        self.open.insert(number, pages);
        Ok(number)
    }

    fn words(&self, document: u32, page: usize) -> Option<Vec<String>> {
        let page = self.pages(document).get(page.checked_sub(1)?)?;
        Some(page.split_whitespace().map(str::to_owned).collect())
    }

    fn count(&self, document: u32, word: String, events: &Events<Progress>) -> usize {
        let pages = self.pages(document);
        let mut count = 0;
        for (done, page) in (1..).zip(pages) {
            count += page.split_whitespace().filter(|own| *own == word).count();
            // An error means that the parent is gone.
            let _ = events.progress((done, pages.len()));
        }
        count
    }

    fn clear(&mut self) {
        self.open.clear();
    }
}

worker!(DOCUMENTS: dyn Documents = Library::new, init(PathBuf));

/// Takes the handle of a child or of a pool: both are called in the same way.
fn first_word(documents: &DOCUMENTS) -> anyhow::Result<String> {
    let number = documents
        .open("document")
        .wait()?
        .map_err(anyhow::Error::msg)?;
    let words = documents.words(number, 1).wait()?;
    let word = words.into_iter().flatten().next();
    word.context("the document is empty")
}

fn main() -> anyhow::Result<()> {
    offspring::init();
    let folder = std::env::temp_dir().join(format!("service-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("document"), "one two\n\ntwo three\n\ntwo")?;

    let documents = DOCUMENTS.init(&folder).spawn()?;
    println!("the first word: {}", first_word(&documents)?);
    let mut count = documents.count(0, "two");
    for progress in count.events() {
        let (done, all) = progress?;
        println!("page {done} of {all}");
    }
    println!("`two` occurs {} times", count.wait()?);
    println!("{}", documents.open("none").wait()?.is_err());
    documents.clear().wait()?;
    println!("{:?}", documents.words(0, 1).wait()?);

    let pool = DOCUMENTS.init(&folder).pool().max(1).spawn()?;
    println!("the first word: {}", first_word(&pool)?);
    for words in pool.map_calls(1..=3, |documents, page| documents.words(0, page)) {
        println!("{}", words?.unwrap_or_default().join(", "));
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
