//! This crate with awaited calls. A separate program, so that children of other rows do not contain the runtimes.
//!
//! Variants: `smol`; `tokio`, on one thread; `tokio-mt`, on two.
use std::collections::VecDeque;
use std::future::Future;

use offspring::{Call, Octets, Rpc, worker};
use peers::{Peer, UNLIMITED, run};

type Echo = Rpc<fn(Vec<u8>) -> Vec<u8>, Octets>;

fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

worker!(ECHO: fn(Vec<u8>) -> Vec<u8> = echo);

enum Runtime {
    Smol,
    Tokio(tokio::runtime::Runtime),
    /// A multi-threaded runtime.
    Threads(tokio::runtime::Runtime),
}

impl Runtime {
    fn by(variant: &str) -> Self {
        use tokio::runtime::Builder;
        match variant {
            "tokio" => Self::Tokio(Builder::new_current_thread().build().unwrap()),
            "tokio-mt" => {
                let mut builder = Builder::new_multi_thread();
                Self::Threads(builder.worker_threads(2).build().unwrap())
            }
            _ => Self::Smol,
        }
    }

    /// Runs `job` to its end, on a thread of the runtime if it has several.
    fn run(&self, job: impl Future<Output = ()> + Send + 'static) {
        match self {
            Self::Smol => smol::block_on(job),
            Self::Tokio(runtime) => runtime.block_on(job),
            Self::Threads(runtime) => runtime.block_on(runtime.spawn(job)).unwrap(),
        }
    }
}

struct Awaited {
    rpc: Echo,
    runtime: Runtime,
}

async fn pipelined(rpc: Echo, payload: Vec<u8>, n: usize, window: usize) {
    let mut open: VecDeque<Call<Vec<u8>>> = VecDeque::new();
    for _ in 0..n {
        open.push_back(rpc.call(&payload));
        if window != UNLIMITED && open.len() >= window {
            assert_eq!(open.pop_front().unwrap().await.unwrap(), payload);
        }
    }
    for call in open {
        assert_eq!(call.await.unwrap(), payload);
    }
}

impl Peer for Awaited {
    fn start(variant: &str) -> Self {
        Self {
            rpc: ECHO.spawn().unwrap(),
            runtime: Runtime::by(variant),
        }
    }

    fn pid(&mut self) -> i32 {
        self.rpc.pid().unwrap() as i32
    }

    fn rtt(&mut self, payload: &[u8], n: usize) {
        let (rpc, payload) = (self.rpc.clone(), payload.to_vec());
        self.runtime.run(async move {
            for _ in 0..n {
                assert_eq!(rpc.call(&payload).await.unwrap(), payload);
            }
        });
    }

    fn pipe(&mut self, payload: &[u8], n: usize, window: usize) -> bool {
        let job = pipelined(self.rpc.clone(), payload.to_vec(), n, window);
        self.runtime.run(job);
        true
    }

    fn stop(self) {
        assert!(self.rpc.join().wait().unwrap().success());
    }
}

fn main() {
    offspring::init();
    run::<Awaited>()
}
