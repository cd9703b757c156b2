//! Declarations with the default features. They compile without a warning.

use offspring::{Error, Events, Template, preload, service, worker};

fn add(a: i32, b: i32) -> i32 {
    a + b
}

fn count(to: u8, events: &Events<u8>) {
    for number in 0..to {
        events.send(number).expect("the parent reads");
    }
}

worker!(ADD: fn(i32, i32) -> i32 = add);
worker!(ALL: fn(bool, char, u8, f64) -> (bool, char, u8, f64) = |a, b, c, d| (a, b, c, d));
worker!(COUNT: fn(u8) = count, events = u8);
worker!(SUM: fn(..Vec<f64>) -> f64 = |numbers: Vec<f64>| numbers.iter().sum());
worker!(
    /// Reads a number.
    pub PARSE: fn(String) -> i32 = |text: String| {
        let text = text.trim();
        text.parse().expect("a number")
    },
    serializer = offspring::Octets
);
worker!(PANIC: fn(String) -> i32 = |_: String| panic!("no luck"));
worker!(LOOP: fn() -> u8 = || loop { std::thread::park() });
worker!(ELSEWHERE: fn(i32) -> Vec<i32>, name = "elsewhere", init(u32));

preload!(TEXT(String) -> String = std::fs::read_to_string, serializer = offspring::Octets);

service! {
    trait Numbers => NumbersClient, events = u8, serializer = offspring::Octets {
        fn add(&mut self, number: i32) -> i32;
        fn list(&self, to: u8, events: &Events<u8>);
        fn seven(&self, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, events: &offspring::Events<u8>,) -> u8;
        fn lists(&self, a: [u8; 2], b: String,);
    }
}

impl Numbers for i32 {
    fn add(&mut self, number: i32) -> i32 {
        *self += number;
        *self
    }
    fn list(&self, to: u8, events: &Events<u8>) {
        count(to, events)
    }
    fn seven(&self, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, events: &Events<u8>) -> u8 {
        count(a, events);
        b + c + d + e + f + g
    }
    fn lists(&self, _: [u8; 2], _: String) {}
}

worker!(NUMBERS: dyn Numbers = || 0);

/// The handle of a worker has a name, for a child and for a pool.
fn total(add: &ADD) -> Result<i32, Error> {
    add.call(1, 2).wait()
}

fn main() -> Result<(), Error> {
    offspring::init();
    total(&ADD.spawn()?)?;
    let pool = ADD.pool().spawn()?;
    total(&pool)?;
    ALL.spawn()?.call(true, 'a', 1, 0.5).wait()?;
    COUNT.on_event(|number| println!("{number}")).spawn()?.call(3).wait()?;
    SUM.spawn()?.call(&[1.0, 2.0]).wait()?;
    PARSE.spawn()?.call("1").wait()?;
    PANIC.spawn()?.call("1").wait()?;
    LOOP.spawn()?.call().wait()?;
    let numbers = NUMBERS.template(&Template::builder().preload(TEXT.with("/")).start()?).spawn()?;
    numbers.add(1).wait()?;
    numbers.list(1).wait()?;
    numbers.seven(1, 2, 3, 4, 5, 6, 7).wait()?;
    numbers.lists([1, 2], "so").wait()?;
    ELSEWHERE.init(1u32).spawn()?.call(1).wait()?;
    Ok(())
}
