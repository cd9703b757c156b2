//! This crate.
//!
//! Variants: `std`; `nospin`; `template`, forked by one; `concurrent`, a worker that is an `async fn`; `cbor`, `json`,
//! `messagepack`, `postcard`; `two`, two children for the pool workload, and `pool` and `pool16`, a pool of two with a
//! load of 2 and of 16.
use std::collections::VecDeque;
use std::sync::OnceLock;
use std::time::Duration;

use offspring::{Bytes, Call, Cbor, Json, MessagePack, Octets, Postcard, Rpc, Template, worker};
use peers::{Peer, Record, UNLIMITED, run, sys};

type Echo<S = Octets> = Rpc<fn(Vec<u8>) -> Vec<u8>, S>;
type EchoPostcard = Rpc<fn(Bytes) -> Bytes, Postcard>;
type Records<S> = Rpc<fn(Vec<Record>) -> Vec<Record>, S>;

fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

async fn echo_later(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

fn echo_bytes(bytes: Bytes) -> Bytes {
    bytes
}

async fn nap(milliseconds: Vec<u8>) -> Vec<u8> {
    let time = u64::from_le_bytes(milliseconds[..].try_into().unwrap());
    async_io::Timer::after(Duration::from_millis(time)).await;
    milliseconds
}

fn burn(microseconds: Vec<u8>) {
    sys::burn(u64::from_le_bytes(microseconds[..].try_into().unwrap()));
}

fn records(records: Vec<Record>) -> Vec<Record> {
    records
}

worker!(ECHO: fn(Vec<u8>) -> Vec<u8> = echo);
worker!(ECHO_LATER: fn(Vec<u8>) -> Vec<u8> = echo_later);
worker!(ECHO_POSTCARD: fn(Bytes) -> Bytes = echo_bytes, serialiser = Postcard);
worker!(NAP: fn(Vec<u8>) -> Vec<u8> = nap);
worker!(BURN: fn(Vec<u8>) = burn);
worker!(IN_CBOR: fn(Vec<Record>) -> Vec<Record> = records, serialiser = Cbor);
worker!(IN_JSON: fn(Vec<Record>) -> Vec<Record> = records, serialiser = Json);
worker!(IN_MESSAGEPACK: fn(Vec<Record>) -> Vec<Record> = records, serialiser = MessagePack);
worker!(IN_POSTCARD: fn(Vec<Record>) -> Vec<Record> = records, serialiser = Postcard);

struct Offspring {
    rpc: Echo,
    variant: String,
    more: More,
}

/// The child of another worker, for workloads that need one.
enum More {
    None,
    Postcard(EchoPostcard),
    InCbor(Records<Cbor>),
    InJson(Records<Json>),
    InMessagePack(Records<MessagePack>),
    InPostcard(Records<Postcard>),
}

/// Makes `n` calls with up to `window` in flight.
fn pipelined<R>(
    n: usize,
    window: usize,
    mut call: impl FnMut() -> Call<R>,
    mut came: impl FnMut(R),
) {
    let mut open = VecDeque::new();
    for _ in 0..n {
        open.push_back(call());
        if window != UNLIMITED && open.len() >= window {
            came(open.pop_front().unwrap().wait().unwrap());
        }
    }
    open.into_iter().for_each(|call| came(call.wait().unwrap()));
}

/// Gives all jobs to a pool at once.
fn burn_in_pool(children: usize, load: usize, n: usize, microseconds: u64) {
    let pool = BURN.pool().max(children).idle(children).load(load);
    let pool = pool.spawn().unwrap();
    let call = |_| pool.call(microseconds.to_le_bytes());
    let calls: Vec<_> = (0..n).map(call).collect();
    calls.into_iter().for_each(|call| call.wait().unwrap());
    pool.join().wait().unwrap();
}

/// Runs a thread for each child, which keeps two jobs in flight.
fn burn_in(children: usize, n: usize, microseconds: u64) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..children {
            scope.spawn(|| {
                let rpc = BURN.spawn().unwrap();
                let mut open = VecDeque::new();
                while next.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < n {
                    open.push_back(rpc.call(microseconds.to_le_bytes()));
                    if open.len() == 2 {
                        open.pop_front().unwrap().wait().unwrap();
                    }
                }
                open.into_iter()
                    .for_each(|call: Call<()>| call.wait().unwrap());
                assert!(rpc.join().wait().unwrap().success());
            });
        }
    });
}

/// The template that forks children. It is started once, and runs until this process exits.
fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(|| Template::builder().start().unwrap())
}

impl Peer for Offspring {
    fn start(variant: &str) -> Self {
        let rpc = match variant {
            "concurrent" => ECHO_LATER.spawn(),
            "nospin" => ECHO.builder().spin(false).spawn(),
            "template" => ECHO.template(template()).spawn(),
            _ => ECHO.spawn(),
        };
        Self {
            rpc: rpc.unwrap(),
            variant: variant.to_owned(),
            more: More::None,
        }
    }

    fn pid(&mut self) -> i32 {
        match &self.more {
            More::Postcard(rpc) => rpc.pid().unwrap() as i32,
            _ => self.rpc.pid().unwrap() as i32,
        }
    }

    fn rtt(&mut self, payload: &[u8], n: usize) {
        let mut last = Vec::new();
        for _ in 0..n {
            last = self.rpc.call(payload).wait().unwrap();
        }
        assert_eq!(last, payload);
    }

    fn pipe(&mut self, payload: &[u8], n: usize, window: usize) -> bool {
        if self.variant == "postcard" {
            if matches!(self.more, More::None) {
                self.more = More::Postcard(ECHO_POSTCARD.spawn().unwrap());
            }
            let More::Postcard(rpc) = &self.more else {
                unreachable!()
            };
            pipelined(
                n,
                window,
                || rpc.call(payload),
                |answer| assert_eq!(answer[..], *payload),
            );
        } else {
            let rpc = &self.rpc;
            pipelined(
                n,
                window,
                || rpc.call(payload),
                |answer| assert_eq!(answer, payload),
            );
        }
        true
    }

    fn records(&mut self, records: &[Record], n: usize) -> bool {
        if matches!(self.more, More::None) {
            self.more = match self.variant.as_str() {
                "cbor" => More::InCbor(IN_CBOR.spawn().unwrap()),
                "json" => More::InJson(IN_JSON.spawn().unwrap()),
                "messagepack" => More::InMessagePack(IN_MESSAGEPACK.spawn().unwrap()),
                _ => More::InPostcard(IN_POSTCARD.spawn().unwrap()),
            };
        }
        macro_rules! call {
            ($rpc:expr) => {{
                let mut last = Vec::new();
                for _ in 0..n {
                    last = $rpc.call(records).wait().unwrap();
                }
                last
            }};
        }
        let last = match &self.more {
            More::InCbor(rpc) => call!(rpc),
            More::InJson(rpc) => call!(rpc),
            More::InMessagePack(rpc) => call!(rpc),
            More::InPostcard(rpc) => call!(rpc),
            _ => unreachable!("a worker of records"),
        };
        assert!(peers::same(&last, records));
        true
    }

    fn sleepers(&mut self, n: usize, milliseconds: u64) -> bool {
        let payload = &milliseconds.to_le_bytes();
        let calls: Vec<Call<Vec<u8>>> = (0..n).map(|_| self.rpc.call(payload)).collect();
        calls
            .into_iter()
            .for_each(|call| assert_eq!(call.wait().unwrap(), payload));
        true
    }

    fn for_sleepers(variant: &str) -> Self {
        Self {
            rpc: NAP.spawn().unwrap(),
            variant: variant.to_owned(),
            more: More::None,
        }
    }

    fn burn(&mut self, n: usize, microseconds: u64) -> bool {
        match self.variant.as_str() {
            "pool" => burn_in_pool(2, 2, n, microseconds),
            "pool16" => burn_in_pool(2, 16, n, microseconds),
            "two" => burn_in(2, n, microseconds),
            _ => burn_in(1, n, microseconds),
        }
        true
    }

    fn stop(self) {
        macro_rules! join {
            ($rpc:expr) => {
                assert!($rpc.join().wait().unwrap().success())
            };
        }
        join!(self.rpc);
        match self.more {
            More::None => {}
            More::Postcard(rpc) => join!(rpc),
            More::InCbor(rpc) => join!(rpc),
            More::InJson(rpc) => join!(rpc),
            More::InMessagePack(rpc) => join!(rpc),
            More::InPostcard(rpc) => join!(rpc),
        }
    }
}

fn main() {
    offspring::init();
    run::<Offspring>()
}
