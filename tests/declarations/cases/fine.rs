//! Declarations that need no more than the defaults. There is not even a warning.

use offspring::{Error, Events, worker};

fn add(a: i32, b: i32) -> i32 {
    a + b
}

fn count(to: u8, events: &Events<u8>) {
    for number in 0..to {
        events.send(number).expect("the parent is there");
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
    ELSEWHERE.init(1u32).spawn()?.call(1).wait()?;
    Ok(())
}
