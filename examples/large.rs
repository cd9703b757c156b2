//! Large data, to a child and back: a child inverts all octets of a buffer, ten times in memory that both share, and ten
//! times in octets that go through the socket. Says how long each took.
//!
//! ```sh
//! cargo run --release --example large         # 64 MiB
//! cargo run --release --example large -- 4    # 4 MiB
//! ```

use std::time::{Duration, Instant};

use offspring::{Bytes, SharedMemory, worker};

const ROUNDS: usize = 10;

/// In place; the memory goes back, so that this also works over a link where a copy came.
fn invert_shared(memory: SharedMemory) -> SharedMemory {
    memory.update(.., invert);
    memory
}

fn invert_plain(mut octets: Bytes) -> Bytes {
    invert(&mut octets);
    octets
}

fn invert(octets: &mut [u8]) {
    for octet in octets {
        *octet = !*octet;
    }
}

worker!(SHARED: fn(SharedMemory) -> SharedMemory = invert_shared);
worker!(PLAIN: fn(Bytes) -> Bytes = invert_plain);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    offspring::init();
    let mebibytes: usize = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 64,
    };
    let mut wanted: Vec<u8> = (0..mebibytes << 20).map(|n| n as u8).collect();
    println!("{mebibytes} MiB, inverted {ROUNDS} times");

    let rpc = SHARED.spawn()?;
    let mut memory = SharedMemory::copy_from_slice(&wanted)?;
    let mut took = Duration::ZERO;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        // Lent, so that it stays mapped here, too.
        memory = rpc.call(&memory).wait()?;
        took += start.elapsed();
        invert(&mut wanted);
        let mut rest = &wanted[..];
        memory.scan(.., |chunk| {
            let (start, end) = rest.split_at(chunk.len());
            assert!(chunk == start, "an octet is not as it should be");
            rest = end;
        });
    }
    rpc.join().wait()?;
    report("in shared memory", took, mebibytes);

    let rpc = PLAIN.spawn()?;
    let mut octets = Bytes::from(wanted.clone());
    let mut took = Duration::ZERO;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        octets = rpc.call(octets).wait()?;
        took += start.elapsed();
        invert(&mut wanted);
        assert!(*octets == wanted, "an octet is not as it should be");
    }
    rpc.join().wait()?;
    report("through the socket", took, mebibytes);
    Ok(())
}

fn report(how: &str, took: Duration, mebibytes: usize) {
    let seconds = took.as_secs_f64();
    let speed = (mebibytes * ROUNDS) as f64 / 1024.0 / seconds;
    println!("{how}: {seconds:.3} s, {speed:.2} GiB/s");
}
