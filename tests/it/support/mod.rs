//! Helpers of all tests: workers, gates, processes, the guard.

mod again;
mod executors;
mod gates;
mod guard;
pub(crate) mod pooled;
mod processes;
mod serving;
mod workers;

use std::process::{Child, Command};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use offspring::format::Format;
use offspring::{Builder, Call, Pool, PoolBuilder, Rpc};

pub(crate) use self::again::*;
pub(crate) use self::executors::*;
pub(crate) use self::gates::*;
pub(crate) use self::guard::*;
pub(crate) use self::processes::*;
pub(crate) use self::serving::*;
pub(crate) use self::workers::*;

/// Starts a child, or panics.
pub(crate) trait Begin {
    type Begun;
    fn begin(self) -> Self::Begun;
}

impl Begin for &mut Command {
    type Begun = Child;
    fn begin(self) -> Child {
        self.spawn().unwrap()
    }
}

/// Fails if there is an error that belongs to no call.
pub(crate) trait Quiet {
    fn quiet(self) -> Self;
}

/// Returns whether tests use the socket instead of rings by default: `OFFSPRING_TEST_RINGS` is `no`.
fn over_socket() -> bool {
    static SOCKET: LazyLock<bool> =
        LazyLock::new(|| std::env::var_os("OFFSPRING_TEST_RINGS").is_some_and(|is| is == "no"));
    *SOCKET
}

impl<F, S: Format, E: Send + 'static> Begin for Builder<F, S, E> {
    type Begun = Rpc<F, S, E>;
    fn begin(self) -> Self::Begun {
        self.when(over_socket(), |builder| builder.rings(false))
            .spawn()
            .unwrap()
    }
}

impl<F, S: Format, E: Send + 'static> Begin for PoolBuilder<F, S, E> {
    type Begun = Pool<F, S, E>;
    fn begin(self) -> Self::Begun {
        self.spawn().unwrap()
    }
}

macro_rules! builders {
    ($($builder:ident),*) => {$(
        impl<F, S: Format, E: Send + 'static> Quiet for $builder<F, S, E> {
            fn quiet(self) -> Self {
                self.on_error(|_| ())
            }
        }
    )*};
}
builders!(Builder, PoolBuilder);

/// Starts children as soon as calls wait, also after failures.
pub(crate) trait Eager {
    fn eager(self) -> Self;
}

impl<F, S: Format, E: Send + 'static> Eager for PoolBuilder<F, S, E> {
    fn eager(self) -> Self {
        let (now, never) = (Duration::ZERO, Duration::ZERO);
        self.start(now).backoff(never, never)
    }
}

/// Returns a sink for the values of callbacks, and a function that returns all of them.
pub(crate) fn sink<T: Send + 'static>() -> (impl Fn(T) + Clone + Send + Sync, Receiver<T>) {
    let (sender, came) = channel();
    (move |one| sender.send(one).unwrap(), came)
}

/// Returns the results of all calls, in their order.
#[track_caller]
pub(crate) fn answers<T, E>(calls: impl IntoIterator<Item = Call<T, E>>) -> Vec<T> {
    let wait = |call: Call<T, E>| call.wait().unwrap();
    calls.into_iter().map(wait).collect()
}

/// A step of a chain of methods that is taken only if a condition holds.
pub(crate) trait When: Sized {
    fn when(self, is: bool, then: impl FnOnce(Self) -> Self) -> Self {
        if is { then(self) } else { self }
    }
}

impl<T> When for T {}

/// Runs a block for each of these workers, whose types differ.
#[allow(unused_macros, reason = "features choose the tests that need it")]
macro_rules! each_of {
    ($worker:ident, $body:expr, $($(#[$attribute:meta])* $which:ident),* $(,)?) => {$(
        $(#[$attribute])*
        {
            let $worker = &$which;
            $body
        }
    )*};
}
#[allow(unused_imports, reason = "features choose the tests that need it")]
pub(crate) use each_of;

/// Fails unless an error has this kind, this `started`, and these words.
macro_rules! assert_error {
    ($error:expr, $kind:ident, started = $started:ident $(, $word:expr)* $(,)?) => {{
        let error: &offspring::Error = &$error;
        assert_error!(error, $kind $(, $word)*);
        assert_eq!(error.started(), offspring::Started::$started, "{error}");
    }};
    ($error:expr, $kind:ident $(, $word:expr)* $(,)?) => {{
        let error: &offspring::Error = &$error;
        assert!(error.$kind(), "{error}");
        $(assert!(error.to_string().contains($word), "no {:?} in: {error}", $word);)*
    }};
}
pub(crate) use assert_error;

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn new() -> Self {
        let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        Self(seed as u64 | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
