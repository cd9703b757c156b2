//! Large data, to a child and back: a child inverts all bytes of a buffer, ten times in memory that both processes map, and
//! ten times in bytes that are copied through the link. Prints how long each took.
//!
//! ```sh
//! cargo run --release --example large         # 64 MiB
//! cargo run --release --example large -- 4    # 4 MiB
//! ```

use std::time::{Duration, Instant};

use anyhow::Context;
use lexopt::{Parser, prelude::*};
use offspring::{Bytes, SharedMemory, worker};

const ROUNDS: usize = 10;

/// Inverts in place. The memory is the result, so this also works over a link that carries only copies.
fn invert_shared(memory: SharedMemory) -> SharedMemory {
    memory.update(.., invert);
    memory
}

fn invert_plain(mut bytes: Bytes) -> Bytes {
    invert(&mut bytes);
    bytes
}

fn invert(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = !*byte;
    }
}

worker!(SHARED: fn(SharedMemory) -> SharedMemory = invert_shared);
worker!(PLAIN: fn(Bytes) -> Bytes = invert_plain);

fn main() -> anyhow::Result<()> {
    offspring::init();
    let mebibytes = mebibytes()?;
    let mut wanted: Vec<u8> = (0..mebibytes << 20).map(|n| n as u8).collect();
    println!("{mebibytes} MiB, inverted {ROUNDS} times");

    let rpc = SHARED.spawn()?;
    let mut memory = SharedMemory::copy_from_slice(&wanted)?;
    let mut took = Duration::ZERO;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        // Borrowed, so it stays mapped here, too.
        memory = rpc.call(&memory).wait()?;
        took += start.elapsed();
        invert(&mut wanted);
        let mut rest = &wanted[..];
        memory.scan(.., |chunk| {
            let (start, end) = rest.split_at(chunk.len());
            assert!(chunk == start, "a byte is wrong");
            rest = end;
        });
    }
    rpc.join().wait()?;
    report("in shared memory", took, mebibytes);

    let rpc = PLAIN.spawn()?;
    let mut bytes = Bytes::from(wanted.clone());
    let mut took = Duration::ZERO;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        bytes = rpc.call(bytes).wait()?;
        took += start.elapsed();
        invert(&mut wanted);
        assert!(*bytes == wanted, "a byte is wrong");
    }
    rpc.join().wait()?;
    report("through the socket", took, mebibytes);
    Ok(())
}

/// Reads the arguments: the size of the buffer.
fn mebibytes() -> anyhow::Result<usize> {
    match Parser::from_env().next()? {
        None => Ok(64),
        Some(Value(text)) => text.string()?.parse().context("usage: large [MEBIBYTES]"),
        Some(argument) => Err(argument.unexpected().into()),
    }
}

fn report(how: &str, took: Duration, mebibytes: usize) {
    let seconds = took.as_secs_f64();
    let speed = (mebibytes * ROUNDS) as f64 / 1024.0 / seconds;
    println!("{how}: {seconds:.3} s, {speed:.2} GiB/s");
}
