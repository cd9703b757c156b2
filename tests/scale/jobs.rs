//! The jobs of the children.

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};

use offspring::{Builder, NoEvents, Postcard, Rpc, SharedMemory, Template, worker};
use serde::{Deserialize, Serialize};

use crate::support::wait_here_at;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Returns [`value_of`] this number. In a concurrent child it waits for [`Job::Open`].
    Number(u64),
    /// Waits at this gate.
    Gate(String),
    /// Lets all go on that wait. The value is how many there are.
    Open,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) value: u64,
    /// The process id of the child.
    pub(crate) life: u32,
    /// How many calls the child ran before.
    pub(crate) serial: u64,
}

pub(crate) fn value_of(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17)
}

fn answer(value: u64) -> Answer {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    Answer {
        value,
        life: std::process::id(),
        serial: SERIAL.fetch_add(1, Ordering::Relaxed),
    }
}

worker!(pub(crate) COUNT: fn(Job) -> Answer = count, serialiser = Postcard);

fn count(job: Job) -> Answer {
    match job {
        Job::Number(number) => answer(value_of(number)),
        Job::Gate(gate) => {
            wait_here_at(gate);
            answer(0)
        }
        Job::Open => answer(0),
    }
}

worker!(pub(crate) MANY: fn(Job) -> Answer = many, serialiser = Postcard, max_running = 1 << 21);

async fn many(job: Job) -> Answer {
    thread_local! {
        /// Whether calls go on, and those that wait. All are polled by one thread.
        static WAITING: RefCell<(bool, Vec<Waker>)> = const { RefCell::new((false, Vec::new())) };
    }
    let Job::Number(number) = job else {
        let waiting = WAITING.replace((true, Vec::new())).1;
        let answer = answer(waiting.len() as u64);
        waiting.into_iter().for_each(Waker::wake);
        return answer;
    };
    let mut is_noted = false;
    poll_fn(|context| {
        WAITING.with_borrow_mut(|(is_open, waiting)| {
            if *is_open {
                return Poll::Ready(());
            }
            assert!(!std::mem::replace(&mut is_noted, true), "woken too early");
            waiting.push(context.waker().clone());
            Poll::Pending
        })
    })
    .await;
    answer(value_of(number))
}

worker!(pub(crate) TURN: fn(Vec<u8>) -> Vec<u8> = turn);

/// Inverts each byte.
pub(crate) fn turn(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
    bytes
}

worker!(pub(crate) TURN_SHARED: fn(SharedMemory) -> SharedMemory = turn_shared, serialiser = Postcard);

fn turn_shared(memory: SharedMemory) -> SharedMemory {
    memory.update(.., |bytes| {
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
    });
    memory
}

pub(crate) type Children = Builder<fn(Job) -> Answer, Postcard, NoEvents>;

pub(crate) type Child = Rpc<fn(Job) -> Answer, Postcard, NoEvents>;

/// How children are started.
pub(crate) enum Start {
    Exec,
    Template(Template),
}

impl Start {
    /// By its name in the table.
    pub(crate) fn new(kind: &str) -> Self {
        match kind {
            "exec" => Self::Exec,
            "template" => Self::Template(Template::builder().start().unwrap()),
            other => unreachable!("{other}"),
        }
    }

    pub(crate) fn children(&self) -> Children {
        match self {
            Self::Exec => COUNT.builder(),
            Self::Template(template) => COUNT.template(template),
        }
    }

    /// Returns the process id of the template, if there is one.
    pub(crate) fn template(&self) -> Option<u32> {
        match self {
            Self::Exec => None,
            Self::Template(template) => {
                template.ready().wait().unwrap();
                template.pid()
            }
        }
    }
}
