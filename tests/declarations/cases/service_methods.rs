//! Services with a fault each. Their uses are no further errors.

use offspring::{service, worker};

service! {
    /// With an argument that is borrowed.
    pub trait Words => WordsClient {
        /// Returns the number of words.
        fn number(&self) -> usize;
        fn add(&mut self, count: u32, word: &str) -> usize;
    }
}

struct List(usize);

impl Words for List {
    fn number(&self) -> usize {
        self.0
    }
    fn add(&mut self, count: u32, word: &str) -> usize {
        self.0 += count as usize * word.len();
        self.0
    }
}

worker!(WORDS: dyn Words = || List(0));

fn use_it() -> Result<usize, offspring::Error> {
    let words = WORDS.spawn()?;
    words.add(1, "so").wait()?;
    words.number().wait()
}

// The client without its type.
service! {
    trait Counting => CountingClient {
        fn to(&self, to: u32, events: &Events<u32>);
    }
}

// The name of a macro.
service! {
    trait Many => ManyClient {
        fn line(&self, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8);
    }
}

service! {
    trait ManyLists => ManyListsClient {
        fn all(&self, a: [u8; 4], b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8);
    }
}

service! {
    trait Owned => OwnedClient {
        fn end(self);
    }
}

service! {
    trait Body => BodyClient {
        fn one(&self) -> u32 {
            1
        }
    }
}

service! {
    trait Mutable => MutableClient {
        fn double(&self, mut number: u32) -> u32;
    }
}

service! {
    trait Nameless {
        fn double(&self, number: u32) -> u32;
    }
}

fn main() {
    offspring::init();
    use_it().unwrap();
}
