//! Finds the largest prime below each number, in as many processes as there are
//! CPUs; one of the jobs kills its process, and the others do not notice.
//!
//! ```text
//! pool [--children N]
//! ```

use std::process::ExitCode;

use offspring::{Octets, Pool, worker};

worker!(PRIME: fn(String) -> String = largest_prime);

/// The largest prime below a number, by trying.
fn largest_prime(below: String) -> String {
    let Ok(below) = below.parse::<u64>() else {
        // What nobody thought of.
        std::process::abort()
    };
    let prime = (2..below).rev().find(|number| {
        let mut divisors = (2..).take_while(|divisor| divisor * divisor <= *number);
        divisors.all(|divisor| number % divisor != 0)
    });
    prime.map_or_else(|| "none".into(), |prime| prime.to_string())
}

fn main() -> ExitCode {
    offspring::init();
    match children().map(run) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("pool: {error}");
            ExitCode::FAILURE
        }
        Err(text) => {
            eprintln!("pool: {text}\nusage: pool [--children N]");
            ExitCode::from(2)
        }
    }
}

fn children() -> Result<usize, String> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
        ["--children", number] => number
            .parse()
            .map_err(|_| format!("not a number of children: `{number}`")),
        _ => Err("there are arguments that mean nothing".into()),
    }
}

fn run(children: usize) -> Result<(), offspring::Error> {
    let pool = PRIME
        .pool()
        .max(children)
        // What happens to children is in the errors of their calls.
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

fn ask(pool: &Pool<fn(String) -> String, Octets>) -> Result<(), offspring::Error> {
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
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
