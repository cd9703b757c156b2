//! Services: several methods of one worker, in every format and every way to start a child.

use offspring::{Events, Template, service, worker};

use crate::support::*;

use octets::WordsClient;

/// A module with the service in one format, and with the service of another build, which has other methods.
macro_rules! in_format {
    ($module:ident, $format:ty, $name:literal) => {
        pub(crate) mod $module {
            use super::*;
            use offspring::Bytes;

            service! {
                /// Keeps words.
                pub(crate) trait Words => WordsClient, serialiser = $format, events = String {
                    /// Adds a word.
                    fn add(&mut self, word: String, times: String);
                    fn all(&self) -> Vec<String>;
                    fn tell(&self, mark: String, events: &Events<String>) -> String;
                    fn size(&self, bytes: Bytes) -> String;
                    fn fail(&mut self, text: String) -> String;
                }
            }

            service! {
                pub(crate) trait Later => LaterClient, serialiser = $format, events = String {
                    fn all(&self) -> Vec<String>;
                    fn new(&mut self) -> String;
                }
            }

            impl Words for super::List {
                fn add(&mut self, word: String, times: String) {
                    self.0.extend(times.chars().map(|_| word.clone()));
                }
                fn all(&self) -> Vec<String> {
                    self.0.clone()
                }
                fn tell(&self, mark: String, events: &Events<String>) -> String {
                    super::tell(&mark, events)
                }
                fn size(&self, bytes: Bytes) -> String {
                    bytes.len().to_string()
                }
                fn fail(&mut self, text: String) -> String {
                    panic!("{text}")
                }
            }

            pub(crate) const NAME: &str = $name;
            worker!(pub(crate) WORDS: dyn Words = super::List::new, init(String), name = $name);
            worker!(pub(crate) OTHERS: dyn Words, init(String), name = $name);
            worker!(pub(crate) LATER: dyn Later, init(String), name = $name);

            /// Calls every method of the service, in whichever way `words` was started.
            pub(crate) fn check(words: &WORDS, plain: bool) {
                let first = if plain { vec![] } else { vec!["first"] };
                words.add("a", "..").wait().unwrap();
                words.add(&String::from("b"), ".").wait().unwrap();
                let all = words.all().wait().unwrap();
                assert_eq!(all, [first, vec!["a", "a", "b"]].concat());
                let bytes = vec![7; 200 << 10];
                assert_eq!(words.size(&bytes).wait().unwrap(), bytes.len().to_string());
                let sizes = words.map_calls([vec![0], vec![], vec![0; 9]], WordsClient::size);
                let sizes: Result<Vec<_>, _> = sizes.into_iter().collect();
                assert_eq!(sizes.unwrap(), ["1", "0", "9"]);
                if plain {
                    return;
                }
                let mut call = words.tell("x");
                let events: Vec<_> = call.events().into_iter().map(Result::unwrap).collect();
                assert_eq!(events, ["x1", "x2"]);
                assert_eq!(call.wait().unwrap(), "x told");
                let error = words.fail("on purpose").wait().unwrap_err();
                assert!(error.panic().unwrap().message() == "on purpose", "{error}");
                assert_eq!(words.all().wait().unwrap().len(), 4);
            }

            /// Calls a method that the child does not have, and methods with arguments of other types.
            pub(crate) fn check_strangers() {
                let later = LATER.init("first").program(serving(NAME)).quiet().begin();
                assert_eq!(later.all().wait().unwrap(), ["first"]);
                let error = later.new().wait().unwrap_err();
                assert_error!(error, is_refused, started = No, "`new`", "add, all, tell, size, fail");
                for wrong in [
                    later.method::<fn(String) -> String>().call("add").wait(),
                    later.method::<fn() -> String>().call().wait(),
                ] {
                    assert!(wrong.unwrap_err().is_decode());
                }
                assert_eq!(later.all().wait().unwrap(), ["first"]);
            }
        }
    };
}

pub(crate) struct List(Vec<String>);

impl List {
    fn new(first: String) -> Result<Self, String> {
        match first.is_empty() {
            true => Err("no first word".into()),
            false => Ok(Self(vec![first])),
        }
    }
}

fn tell(mark: &str, events: &Events<String>) -> String {
    for n in 1..=2 {
        events.progress(format!("{mark}{n}")).unwrap();
    }
    format!("{mark} told")
}

in_format!(octets, offspring::Octets, "it::words::octets");
#[cfg(feature = "cbor")]
in_format!(cbor, offspring::Cbor, "it::words::cbor");
#[cfg(feature = "json")]
in_format!(json, offspring::Json, "it::words::json");
#[cfg(feature = "messagepack")]
in_format!(
    messagepack,
    offspring::MessagePack,
    "it::words::messagepack"
);
#[cfg(feature = "postcard")]
in_format!(postcard, offspring::Postcard, "it::words::postcard");

/// Runs in a process that was started as another program.
pub(crate) fn serve(name: &str) -> ! {
    match name {
        "it::words::octets" => octets::WORDS.serve(),
        #[cfg(feature = "cbor")]
        "it::words::cbor" => cbor::WORDS.serve(),
        #[cfg(feature = "json")]
        "it::words::json" => json::WORDS.serve(),
        #[cfg(feature = "messagepack")]
        "it::words::messagepack" => messagepack::WORDS.serve(),
        #[cfg(feature = "postcard")]
        "it::words::postcard" => postcard::WORDS.serve(),
        "plain" => PLAIN.serve(),
        "array" => ARRAY.serve(),
        _ => unreachable!("no service {name}"),
    }
}

/// Runs `$body` with the service in each format as `$module`.
macro_rules! in_each {
    ($module:ident, $body:expr) => {{
        macro_rules! one {
            ($which:ident) => {{
                use $which as $module;
                $body
            }};
        }
        one!(octets);
        #[cfg(feature = "cbor")]
        one!(cbor);
        #[cfg(feature = "json")]
        one!(json);
        #[cfg(feature = "messagepack")]
        one!(messagepack);
        #[cfg(feature = "postcard")]
        one!(postcard);
    }};
}

#[test]
fn in_every_format_and_way() {
    let _guard = guard();
    let template = Template::builder().start().unwrap();
    in_each!(words, {
        use words::WordsClient as _;
        let builder = || words::WORDS.init("first");
        words::check(&builder().begin(), false);
        words::check(&builder().template(&template).begin(), false);
        words::check(&builder().pool().max(1).begin(), false);
        let once = builder().once(|words| words.tell("once"));
        assert_eq!(once.wait().unwrap(), "once told");
        let other = || words::OTHERS.init("first");
        words::check(&other().program(serving(words::NAME)).begin(), false);
        words::check(&other().command(serving(words::NAME)).begin(), false);
    });
}

/// Child and parent are of different builds: the methods that both have work.
#[test]
fn methods_that_only_one_side_has() {
    let _guard = guard();
    in_each!(words, words::check_strangers());
}

/// Calls a method for each of many items, in a pool: with borrowed and with several arguments, with events and with an
/// error.
#[test]
fn a_method_of_many_items() {
    let _guard = guard();
    let pool = octets::WORDS.init("first").pool().quiet().max(2).begin();
    let marks: Vec<String> = (0..50).map(|n| format!("{n}-")).collect();
    let told = pool.map_calls(&marks, |words, mark| words.tell(mark));
    let expected: Vec<_> = marks.iter().map(|mark| format!("{mark} told")).collect();
    let told: Vec<_> = told.window(7).into_iter().map(Result::unwrap).collect();
    assert_eq!(told, expected);
    let calls = [("a", ""), ("b", ".."), ("c", ".")];
    let added = pool.map_calls(calls, |words, (word, times)| words.add(word, times));
    assert!(added.into_iter().all(|done| done.is_ok()));
    let calls = (0..9).map(|n| n.to_string());
    let one = move |words: &octets::WORDS, text: String| match &*text {
        "4" => words.fail(text),
        _ => words.tell(text),
    };
    let stream = pool.map_calls_unordered(calls, one);
    let all = futures_lite::StreamExt::collect::<Vec<_>>(stream);
    let (told, failed): (Vec<_>, Vec<_>) = futures_lite::future::block_on(all)
        .into_iter()
        .partition(Result::is_ok);
    assert_eq!((told.len(), failed.len()), (8, 1));
    assert_eq!(
        failed[0].as_ref().unwrap_err().panic().unwrap().message(),
        "4"
    );
    pool.join().wait().unwrap();
}

#[test]
fn what_makes_the_state_fails() {
    let _guard = guard();
    let words = octets::WORDS.init("").quiet().begin();
    let error = words.all().wait().unwrap_err();
    assert_error!(error, is_init, started = No, "no first word");
    let _ = words.join().wait();
}

service! {
    trait Reverse => ReverseClient {
        fn reverse(&mut self, one: String, two: String) -> Vec<String>;
    }
}

worker!(PLAIN: dyn octets::Words = || List(Vec::new()), name = "it::words::plain");
worker!(ARRAY: fn(..Vec<String>) -> Vec<String> = |words: Vec<String>| words.into_iter().rev().collect::<Vec<_>>(), name = "it::reverse");
worker!(REVERSE: dyn Reverse, name = "it::reverse");
worker!(STRINGS: fn(..Vec<String>) -> Vec<String>, name = "it::words::plain", events = String);

/// A peer without services sees a service's call as an array that begins with the method's name.
#[test]
fn arrays_and_the_plain_form() {
    let _guard = guard();
    let program = || serving("plain");
    octets::check(&PLAIN.program(program()).plain().begin(), true);
    octets::check(&PLAIN.command(program()).plain().begin(), true);
    for array in [
        STRINGS.program(program()).begin(),
        STRINGS.command(program()).plain().begin(),
    ] {
        let strings = |all: &[&str]| all.iter().map(|one| String::from(*one)).collect::<Vec<_>>();
        array.call(strings(&["add", "so", "."])).wait().unwrap();
        assert_eq!(array.call(strings(&["all"])).wait().unwrap(), ["so"]);
    }
    let reverse = REVERSE.command(serving("array")).plain().begin();
    let answer = reverse.reverse("a", "b").wait().unwrap();
    assert_eq!(answer, ["b", "a", "reverse"]);
    let lost = PLAIN.command(program()).plain().quiet().begin();
    let call = lost.method::<fn(String) -> String>().call("none");
    assert!(call.wait().unwrap_err().is_child_dead());
}

#[cfg(feature = "concurrent")]
mod at_once {
    use super::*;

    service! {
        trait Slot => SlotClient, events = String {
            async fn take(&self, mark: String, events: &Events<String>) -> String;
            fn give(&self, text: String);
        }
    }

    struct Channel(
        smol::channel::Sender<String>,
        smol::channel::Receiver<String>,
    );

    impl Slot for Channel {
        async fn take(&self, mark: String, events: &Events<String>) -> String {
            events.progress(mark.clone()).unwrap();
            mark + &self.1.recv().await.unwrap()
        }
        fn give(&self, text: String) {
            self.0.try_send(text).unwrap();
        }
    }

    fn channel() -> Channel {
        let (sender, receiver) = smol::channel::unbounded();
        Channel(sender, receiver)
    }

    worker!(SLOT: dyn Slot = channel);

    /// One call waits for a value that the next call brings.
    #[test]
    fn async_methods() {
        let _guard = guard();
        let slot = SLOT.builder().begin();
        let mut taken = slot.take("a ");
        assert_eq!(taken.events().into_iter().next().unwrap().unwrap(), "a ");
        slot.give("word").wait().unwrap();
        assert_eq!(taken.wait().unwrap(), "a word");
        let other = slot.method::<fn(String) -> String>();
        let error = other.call("put").wait().unwrap_err();
        assert_error!(error, is_refused, started = No, "`put`", "take, give");
        // The cancelled method is dropped at its `await`, and takes no word.
        drop(slot.take("b "));
        slot.give("c").wait().unwrap();
        assert_eq!(slot.take("").wait().unwrap(), "c");
    }
}
