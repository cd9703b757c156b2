offspring::service! {
    trait Numbers => NumbersClient {
        async fn add(&mut self, number: u32) -> u32;
    }
}

offspring::service! {
    trait Words => WordsClient {
        async fn number(&self) -> u32;
        fn add(&mut self, word: String);
    }
}

struct List(u32);

impl Words for List {
    async fn number(&self) -> u32 {
        self.0
    }
    fn add(&mut self, word: String) {
        self.0 += u32::from(!word.is_empty());
    }
}

offspring::worker!(WORDS: dyn Words = || List(0));

fn main() {
    offspring::init();
    WORDS.spawn().unwrap().add("so").wait().unwrap();
}
