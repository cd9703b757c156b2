//! From which size on a memory file is faster than the way through the socket.
//!
//! ```sh
//! cargo bench -p benches --bench memory              # 1 KiB to 256 MiB; about two minutes
//! cargo bench -p benches --bench memory -- 1048576   # these sizes
//! ```
//!
//! In each row the parent has that many bytes in a vector, has a child invert them, and has the result in another
//! vector:
//!
//! - **plain**: `Bytes` there and back;
//! - **fresh**: a `SharedBytes` made for each call, and another for each result;
//! - **given**: one `SharedBytes`, made beforehand and sent with every call; the child adds its bytes up. The copies of
//!   the others are not made: this is one thing for many;
//! - **lasting**: one `SharedMemory` that goes back and forth;
//! - **bare**: the same without this crate: a memory file that two processes have mapped all the time, and one byte
//!   through a socket to say that it is the other's turn.
//!
//! A cell is the median of the calls in one run of them, in microseconds, and in GiB/s of the size, counted once. The
//! columns of a row take turns, so that a noisy moment does not hit only one.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use offspring::{Bytes, SharedBytes, SharedMemory, worker};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

worker!(PLAIN: fn(Bytes) -> Bytes = |mut bytes: Bytes| -> Bytes {
    invert(&mut bytes);
    bytes
});
worker!(FRESH: fn(SharedBytes) -> SharedBytes = |bytes: SharedBytes| -> SharedBytes {
    let inverted = SharedBytes::build(bytes.len(), |room| {
        for (to, from) in room.iter_mut().zip(bytes.iter()) {
            *to = !*from;
        }
    });
    inverted.expect("room for the result")
});
worker!(GIVEN: fn(SharedBytes) -> Vec<u8> = |bytes: SharedBytes| -> Vec<u8> {
    let sum: u64 = bytes.iter().map(|&byte| u64::from(byte)).sum();
    sum.to_be_bytes().to_vec()
});
worker!(LASTING: fn(SharedMemory) -> SharedMemory = |memory: SharedMemory| -> SharedMemory {
    memory.update(.., invert);
    memory
});

fn invert(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = !*byte;
    }
}

const BARE: &str = "--bare";
const NAMES: [&str; 5] = ["plain", "fresh", "given", "lasting", "bare"];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().map(String::as_str) == Some(BARE) {
        return answer(arguments[1].parse()?);
    }
    offspring::init();
    let mut sizes: Vec<usize> = arguments.iter().flat_map(|text| text.parse()).collect();
    // `cargo test` only wants to see that it works.
    let in_earnest = arguments.iter().any(|argument| argument == "--bench");
    if sizes.is_empty() {
        let powers = if in_earnest { 10..=28 } else { 10..=11 };
        sizes = powers.map(|power| 1 << power).collect();
    }
    let time = Duration::from_millis(if in_earnest { 1000 } else { 10 });
    print!("{:>10}", "bytes");
    NAMES.iter().for_each(|name| print!(" {name:>20}"));
    println!();
    for size in sizes {
        print!("{size:>10}");
        for took in row(size, time)? {
            let speed = size as f64 / took.as_secs_f64() / f64::from(1 << 30);
            print!(" {:>10.1} µs {speed:>6.2}", took.as_secs_f64() * 1e6);
        }
        println!();
    }
    Ok(())
}

/// One call.
type Act<'a> = Box<dyn FnMut(&[u8], &mut [u8]) -> Result<()> + 'a>;

fn row(size: usize, time: Duration) -> Result<[Duration; 5]> {
    let bytes: Vec<u8> = (0..size).map(|n| (n * 7) as u8).collect();
    let inverted: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
    let sum: u64 = bytes.iter().map(|&byte| u64::from(byte)).sum();
    let (plain, fresh) = (PLAIN.spawn()?, FRESH.spawn()?);
    let (given, lasting) = (GIVEN.spawn()?, LASTING.spawn()?);
    let (shared, memory) = (
        SharedBytes::copy_from_slice(&bytes)?,
        SharedMemory::new(size)?,
    );
    let mut bare = Bare::start(size)?;
    let mut acts: [Act<'_>; 5] = [
        Box::new(|from, to| {
            // The result is in a vector that is new each time; the other rows copy to an old one.
            let came = plain.call(from).wait()?;
            to[..1].copy_from_slice(&came[..1]);
            to[size - 1] = came[size - 1];
            black_box(came);
            Ok(())
        }),
        Box::new(|from, to| {
            let came = fresh.call(SharedBytes::copy_from_slice(from)?).wait()?;
            to.copy_from_slice(&came);
            Ok(())
        }),
        Box::new(|_, to| {
            assert_eq!(given.call(&shared).wait()?, sum.to_be_bytes());
            (to[0], to[size - 1]) = (inverted[0], inverted[size - 1]);
            Ok(())
        }),
        Box::new(|from, to| {
            memory.write(0, from);
            lasting.call(&memory).wait()?.read(0, to);
            Ok(())
        }),
        Box::new(|from, to| bare.call(from, to)),
    ];
    let mut took: [Vec<Duration>; 5] = Default::default();
    let mut to = vec![0; size];
    let start = Instant::now();
    // The first round is to warm up.
    while took[0].len() < 4 || start.elapsed() < 5 * time {
        for (act, took) in acts.iter_mut().zip(&mut took) {
            // Some in a row, as they would come, and enough for the clock.
            for _ in 0..(1_usize << 20).div_ceil(size).min(20) {
                let start = Instant::now();
                act(&bytes, &mut to)?;
                took.push(start.elapsed());
                assert_eq!((to[0], to[size - 1]), (inverted[0], inverted[size - 1]));
            }
        }
    }
    drop(acts);
    bare.end()?;
    Ok(took.map(|mut took| {
        took.sort_unstable();
        took[took.len() / 2]
    }))
}

/// The loop without this crate.
struct Bare {
    child: Child,
    socket: UnixStream,
    memory: &'static mut [u8],
}

/// Maps a memory file; for as long as this process lives.
fn map(file: &File, size: usize) -> Result<&'static mut [u8]> {
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let length = NonZeroUsize::new(size).ok_or("nothing to map")?;
    // SAFETY: the kernel chooses the place; the file is as long; the two processes take turns.
    unsafe {
        let start = mmap(None, length, access, MapFlags::MAP_SHARED, file, 0)?;
        Ok(std::slice::from_raw_parts_mut(start.cast().as_ptr(), size))
    }
}

impl Bare {
    fn start(size: usize) -> Result<Self> {
        let file = File::from(memfd_create("bare", MFdFlags::MFD_CLOEXEC)?);
        file.set_len(size as u64)?;
        let (mut socket, theirs) = UnixStream::pair()?;
        let child = Command::new(std::env::current_exe()?)
            .args([BARE, &size.to_string()])
            .stdin(OwnedFd::from(theirs))
            .env(
                "FILE",
                format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()),
            )
            .spawn()?;
        // It has opened the file.
        socket.read_exact(&mut [0])?;
        let memory = map(&file, size)?;
        Ok(Self {
            child,
            socket,
            memory,
        })
    }

    fn call(&mut self, from: &[u8], to: &mut [u8]) -> Result<()> {
        self.memory.copy_from_slice(from);
        self.socket.write_all(&[1])?;
        self.socket.read_exact(&mut [0])?;
        to.copy_from_slice(black_box(&*self.memory));
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        drop(self.socket);
        let length = self.memory.len();
        let place = std::ptr::NonNull::from(self.memory);
        // SAFETY: it is not referred to any more.
        unsafe { nix::sys::mman::munmap(place.cast(), length)? };
        self.child.wait()?;
        Ok(())
    }
}

/// The other side of it.
fn answer(size: usize) -> Result<()> {
    let mut socket =
        UnixStream::from(std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned()?);
    let file = File::options()
        .read(true)
        .write(true)
        .open(std::env::var("FILE")?)?;
    let memory = map(&file, size)?;
    socket.write_all(&[1])?;
    while socket.read(&mut [0])? > 0 {
        invert(black_box(&mut *memory));
        socket.write_all(&[1])?;
    }
    Ok(())
}
