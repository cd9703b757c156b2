//! Finds the largest prime below each number, in as many processes as there are CPUs. One of the calls crashes its child,
//! and the others do not notice.
//!
//! ```text
//! cargo run --example pool [-- --children N]
//! ```

use lexopt::{Parser, prelude::*};
use offspring::{Octets, Pool, worker};

worker!(PRIME: fn(String) -> String = largest_prime);

/// Finds the largest prime below a number by trying.
fn largest_prime(below: String) -> String {
    let Ok(below) = below.parse::<u64>() else {
        std::process::abort() // a bug
    };
    let prime = (2..below).rev().find(|number| {
        let mut divisors = (2..).take_while(|divisor| divisor * divisor <= *number);
        divisors.all(|divisor| number % divisor != 0)
    });
    prime.map_or_else(|| "none".into(), |prime| prime.to_string())
}

fn main() -> anyhow::Result<()> {
    offspring::init();
    let children = children().unwrap_or_else(|error| {
        eprintln!("pool: {error}\nusage: pool [--children N]");
        std::process::exit(2)
    });
    run(children)
}

/// Reads the arguments: the number of children.
fn children() -> Result<usize, lexopt::Error> {
    let mut parser = Parser::from_env();
    let mut children = std::thread::available_parallelism().map_or(1, usize::from);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("children") => children = parser.value()?.parse()?,
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(children)
}

fn run(children: usize) -> anyhow::Result<()> {
    let pool = PRIME
        .pool()
        .max(children)
        // That a child died is in the error of its call.
        .on_error(|_| ())
        .spawn()?;
    ask(&pool)?;
    pool.clone().join().wait()?;
    let status = pool.status();
    println!(
        "{} calls answered, {} child died",
        status.answered, status.died
    );
    Ok(())
}

fn ask(pool: &Pool<fn(String) -> String, Octets>) -> anyhow::Result<()> {
    let numbers = ["100", "10000", "a million", "1000000", "100000000"];
    let calls = numbers.map(|number| (number, pool.call(number)));
    for (number, call) in calls {
        match call.wait() {
            Ok(prime) => println!("below {number}: {prime}"),
            Err(error) if error.is_child_dead() => {
                println!(
                    "below {number}: its process died, started: {:?}",
                    error.started()
                );
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
