use offspring::service;

service! {
    pub trait Words => WordsClient, events = String, name = "words" {
        fn all(&self) -> Vec<String>;
    }
}

fn main() {
    offspring::init();
}
