//! A library that you don't want in your own process, as a service: what a child
//! keeps implements a trait, and its methods are called from here. One child, a
//! pool, and a method of the pool for each of many items.

use std::collections::HashMap;
use std::path::PathBuf;

use offspring::{Events, service, worker};

service! {
    /// Reads documents.
    pub trait Documents => DocumentsClient, serialiser = offspring::Cbor, events = Progress {
        /// Opens a document; its number.
        fn open(&mut self, path: PathBuf) -> Result<u32, String>;
        /// The words of a page, the first of which is page 1.
        fn words(&self, document: u32, page: usize) -> Option<Vec<String>>;
        /// How often a word is there. Tells of each page.
        fn count(&self, document: u32, word: String, events: &Events<Progress>) -> usize;
        /// Closes all documents.
        fn clear(&mut self);
    }
}

/// How many pages are done, and how many there are.
pub type Progress = (usize, usize);

/// In the child: the documents that are open, as pages.
struct Library {
    folder: PathBuf,
    open: HashMap<u32, Vec<String>>,
}

impl Library {
    /// Fails if there is no such folder: then this is the error of all calls.
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
            // It fails if the parent is gone, and then nothing matters any more.
            let _ = events.progress((done, pages.len()));
        }
        count
    }

    fn clear(&mut self) {
        self.open.clear();
    }
}

worker!(DOCUMENTS: dyn Documents = Library::new, init(PathBuf));

/// The handle of a child, or of a pool: both are called in the same way.
fn first_word(documents: &DOCUMENTS) -> Result<String, Box<dyn std::error::Error>> {
    let number = documents.open("document").wait()??;
    let words = documents.words(number, 1).wait()?;
    let word = words.into_iter().flatten().next();
    Ok(word.ok_or("there is no word")?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
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
    println!("`two` is there {} times", count.wait()?);
    println!("{}", documents.open("none").wait()?.is_err());
    documents.clear().wait()?;
    println!("{:?}", documents.words(0, 1).wait()?);

    let pool = DOCUMENTS.init(&folder).pool().max(1).spawn()?;
    println!("the first word: {}", first_word(&pool)?);
    let words = pool.method::<fn(String, u32, usize) -> Option<Vec<String>>>();
    let pages = (1..=3).map(|page| ("words", 0, page));
    for words in words.map(pages) {
        println!("{}", words?.unwrap_or_default().join(", "));
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
