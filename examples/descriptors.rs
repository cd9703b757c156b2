//! A server whose parent only accepts: each TCP connection is handed to a child,
//! which serves it without the parent in between.
//!
//! ```text
//! cargo run --example descriptors [CLIENTS]
//! ```
//!
//! So a child that crashes takes its own connections with it and no other, and
//! the work is done on all cores. Here the clients are threads of the parent.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use offspring::{Descriptor, worker};

/// Serves one connection until the client has said all, and says how many lines
/// that were.
fn serve(number: &mut String, stream: Descriptor<TcpStream>) -> io::Result<usize> {
    let mut lines = 0;
    let mut answers = stream.try_clone()?;
    for line in BufReader::new(stream.into_inner()).lines() {
        writeln!(answers, "{} (child {number})", line?.to_uppercase())?;
        lines += 1;
    }
    Ok(lines)
}

/// What a worker returns must be known to its serialiser, which `io::Error` is not.
fn serve_or_say(number: &mut String, stream: Descriptor<TcpStream>) -> String {
    match serve(number, stream) {
        Ok(lines) => format!("{lines} lines"),
        Err(error) => error.to_string(),
    }
}

worker!(
    SERVE: fn(Descriptor<TcpStream>) -> String = serve_or_say,
    init(String) = |number: String| Ok::<_, std::convert::Infallible>(number)
);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    offspring::init();
    let clients = match std::env::args().nth(1) {
        Some(text) => text.parse().map_err(|_| "usage: descriptors [CLIENTS]")?,
        None => 4,
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let children = [SERVE.init("1").spawn()?, SERVE.init("2").spawn()?];

    let mut calls = Vec::new();
    for number in 0..clients {
        // The next client comes when this one has been accepted.
        let client = thread::spawn(move || talk(TcpStream::connect(address)?, number));
        let (stream, _) = listener.accept()?;
        // Moved: from here on the child alone has it.
        let call = children[number % children.len()].call(stream);
        calls.push((client, call));
    }
    for (number, (client, call)) in calls.into_iter().enumerate() {
        let served = call.wait()?;
        let answers = client.join().expect("the client does not panic")?;
        println!("client {number}: {served}: {answers}");
    }
    for child in children {
        child.join().wait()?;
    }
    Ok(())
}

/// A client: says two lines, and reads what comes back until the other side has
/// closed the connection.
fn talk(mut stream: TcpStream, number: usize) -> io::Result<String> {
    writeln!(stream, "hello, I am {number}\ngoodbye")?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let answers: Vec<_> = BufReader::new(stream).lines().collect::<io::Result<_>>()?;
    Ok(answers.join(", "))
}
