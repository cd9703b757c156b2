//! A third one has the memory of a link, and writes anything anywhere while calls run: neither side panics, and nothing takes
//! more memory than the limits. A call may get a wrong answer, or none: so each has a timeout. Each operation of the parent
//! takes less than ten seconds beyond that, which is tenfold slack over a second.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use offspring::{Limits, Rpc, Template};

use crate::lies::*;
use crate::memory::peak_of;
use crate::ring::{LENGTH, Ring};
use crate::support::*;

/// Where this process has mapped memory of links.
fn mapped() -> Vec<usize> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .filter(|line| line.contains("memfd:") && line.contains(" rw-s "))
        .filter_map(|line| {
            let (start, end) = line.split(' ').next()?.split_once('-')?;
            let parse = |text| usize::from_str_radix(text, 16).unwrap();
            (parse(end) - parse(start) == LENGTH).then(|| parse(start))
        })
        .collect()
}

/// Calls a child, while another thread writes into the memory. Returns to how many places it wrote while calls were open.
fn scribbled(rpc: Rpc<fn(String) -> String>, ring: &Ring, random: &mut Random) -> u64 {
    let (is_open, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (calls, mut own) = (AtomicU64::new(0), Random(random.next() | 1));
    thread::scope(|scope| {
        let scribbler = scope.spawn(|| {
            let mut told = 0;
            while !is_over.load(Ordering::SeqCst) {
                let before = calls.load(Ordering::SeqCst);
                ring.scribble_memory(&mut own);
                told += u64::from(is_open.load(Ordering::SeqCst));
                let start = Instant::now();
                while calls.load(Ordering::SeqCst) == before
                    && start.elapsed() < Duration::from_micros(200)
                {
                    thread::yield_now();
                }
            }
            told
        });
        for number in 0..100 {
            let text = "x".repeat(random.below(300) as usize);
            let all: Vec<_> = (0..1 + random.below(4))
                .map(|_| quickly(|| rpc.call(text.clone())))
                .collect();
            is_open.store(true, Ordering::SeqCst);
            let time = Duration::from_millis(20);
            let is_fine = all.into_iter().all(|mut call| {
                let answer = quickly(|| call.wait_timeout(time));
                calls.fetch_add(1, Ordering::SeqCst);
                answer.is_ok()
            });
            is_open.store(false, Ordering::SeqCst);
            // A side that was told a lie about its sleep is not woken any more.
            if !is_fine && number > 0 {
                break;
            }
        }
        is_over.store(true, Ordering::SeqCst);
        rpc.kill();
        let error = quickly(|| rpc.join().wait())
            .err()
            .map(|error| error.to_string());
        // Neither of a wrong address nor of too much memory.
        let error = error.unwrap_or_default();
        for signal in ["SIGSEGV", "SIGBUS", "SIGABRT"] {
            assert!(!error.contains(signal), "{error}");
        }
        assert!(!error.contains("panicked at"), "{error}");
        scribbler.join().unwrap()
    })
}

#[test]
fn anyone_may_scribble() {
    let _guard = guard();
    let no_panics = without_panics();
    let (mut random, mut told, mut children) = (Random::new(), 0, 0);
    println!("seed {}", random.0);
    let limits = Limits::new().memory(200 << 20);
    let template = Template::builder().start().unwrap();
    // The template's link has such memory, too.
    let before = mapped();
    while told < lies() {
        let rpc = TEXT.template(&template).limits(limits).max_message(10_000);
        let rpc = rpc.capture_stderr(10_000).quiet().spawn().unwrap();
        rpc.ready().wait().unwrap();
        let mut places = mapped();
        places.retain(|place| !before.contains(place));
        assert_eq!(places.len(), 1, "{places:?}");
        let ring = Ring::of_a_third(places[0]);
        let peak = peak_of(|| told += scribbled(rpc, &ring, &mut random));
        assert!(peak < MOST, "{peak} bytes");
        children += 1;
        drop(ring);
        until(|| mapped() == before);
    }
    no_panics();
    println!("{told} places, {children} children");
}
