//! A server whose parent only accepts: each TCP connection is passed to a child, which serves it without the parent.
//!
//! ```text
//! cargo run --example descriptors [CLIENTS]
//! ```
//!
//! A child that crashes breaks its own connections and no others, and the children use all cores. The clients here are
//! threads of the parent.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use anyhow::Context;
use lexopt::{Parser, prelude::*};
use offspring::{Descriptor, FlattenErrors, WorkerError, worker};

/// Serves one connection until the client has sent everything. Returns how many lines that were.
fn serve(number: &mut u32, stream: Descriptor<TcpStream>) -> Result<usize, WorkerError> {
    let mut lines = 0;
    let mut answers = stream.try_clone()?;
    for line in BufReader::new(stream.into_inner()).lines() {
        writeln!(answers, "{} (child {number})", line?.to_uppercase())?;
        lines += 1;
    }
    Ok(lines)
}

worker!(
    SERVE: fn(Descriptor<TcpStream>) -> Result<usize, WorkerError> = serve,
    init(u32) = |number: u32| Ok::<_, std::convert::Infallible>(number)
);

fn main() -> anyhow::Result<()> {
    offspring::init();
    let clients = clients()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let children = [SERVE.init(1).spawn()?, SERVE.init(2).spawn()?];

    let mut calls = Vec::new();
    for number in 0..clients {
        // The next client starts once this one is accepted.
        let client = thread::spawn(move || talk(TcpStream::connect(address)?, number));
        let (stream, _) = listener.accept()?;
        // Moved: from here on only the child has the connection.
        let call = children[number % children.len()].call(stream);
        calls.push((client, call));
    }
    for (number, (client, call)) in calls.into_iter().enumerate() {
        let lines = call.wait().flatten_errors()?;
        let answers = client.join().expect("the client does not panic")?;
        println!("client {number}: {lines} lines: {answers}");
    }
    for child in children {
        child.join().wait()?;
    }
    Ok(())
}

/// Reads the arguments: the number of clients.
fn clients() -> anyhow::Result<usize> {
    match Parser::from_env().next()? {
        None => Ok(4),
        Some(Value(text)) => text
            .string()?
            .parse()
            .context("usage: descriptors [CLIENTS]"),
        Some(argument) => Err(argument.unexpected().into()),
    }
}

/// A client: sends two lines, and reads answers until the connection is closed.
fn talk(mut stream: TcpStream, number: usize) -> io::Result<String> {
    writeln!(stream, "hello, I am {number}\ngoodbye")?;
    stream.shutdown(Shutdown::Write)?;
    let answers: Vec<_> = BufReader::new(stream).lines().collect::<io::Result<_>>()?;
    Ok(answers.join(", "))
}
