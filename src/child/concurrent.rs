//! The concurrent server: many calls at once, in one thread.
//!
//! It reads as much as there is, starts each call as it comes, and polls those
//! that were woken; once there are none it has the answers written, and sleeps
//! until octets come or a call is woken. At the end of input it finishes what
//! runs. When answers are written before that is up to
//! [`Outgoing`](super::outgoing::Outgoing).
//!
//! With as many calls running as may be, requests stay in the buffer, and when
//! that has [`AHEAD`] octets, in the socket. A cancel is heard as soon as it is
//! read.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_io::Async;

use super::calls::{Calls, Outcome, Running};
use super::function::Runtime;
use super::outgoing::Outgoing;
use super::session::{self, Backend, Conversation, FAILED, broken, end, fail};
use crate::base::panics::shielded;
use crate::parcel::{Parcel, Reader, Received};
use crate::protocol::{Failure, FailureCode, Request};
use crate::sys;
use crate::trace_calls::CallScope;

/// What the parent is told of how calls run here.
pub const BACKEND: Backend = Backend {
    name: Some("concurrent"),
    start: start_reactor,
};

/// Of a timer that is not waited for.
const FAR: Duration = Duration::from_secs(1000);
/// So many octets of requests are read ahead while no more calls may run.
const AHEAD: usize = 64 << 10;
/// And so many descriptors.
const DESCRIPTORS_AHEAD: usize = 64;
/// After so many rounds without a pause timers and other descriptors get a turn.
const ROUNDS: usize = 16;

/// Has `async-io` start its reactor, with its thread, which panics where the
/// system has no descriptor or no thread left.
fn start_reactor() -> Result<(), String> {
    let hook = std::panic::take_hook();
    // The parent is told instead.
    std::panic::set_hook(Box::new(|_| ()));
    // Not in `block_on`, which would start the thread once more while it unwinds.
    let timer = || -> Poll<_> {
        let context = &mut Context::from_waker(Waker::noop());
        Pin::new(&mut async_io::Timer::after(FAR)).poll(context)
    };
    let started = sys::with_signals_blocked(|_| {
        let create = || Ok(shielded(timer));
        sys::above_streams(create)
    });
    std::panic::set_hook(hook);
    let started = started.unwrap_or_else(|error: io::Error| Err(error.to_string()));
    started.map(drop)
}

/// Starts one call: its id and its arguments.
pub(super) type Begin<'a> = dyn Fn(u32, Received<'_>) -> Result<Running<'a>, Failure> + 'a;

/// Serves until the parent is done, or gone, in this runtime. Default: that of `async-io`. Gives the code to exit with.
pub(super) fn serve<'a>(
    conversation: Conversation,
    max_running: usize,
    runtime: Option<Runtime>,
    begin: &'a Begin<'a>,
) -> i32 {
    let outgoing = Arc::clone(&conversation.outgoing);
    let (began, ended) = (Cell::new(false), Cell::new(None));
    let server = async {
        began.set(true);
        ended.set(Some(work(conversation, max_running, begin).await));
    };
    let run = runtime.unwrap_or(|server| async_io::block_on(server));
    let ran = shielded(|| run(Box::pin(server)));
    let text = match (ended.get(), ran) {
        (Some(code), Ok(())) => return code,
        (None, Ok(())) => "it returned before the server that it was given was done: it has to run that to its end".into(),
        (_, Err(panic)) => format!("it panicked: {panic} (a runtime cannot start inside another, as that of `#[tokio::main]`: call `offspring::init()` before it, in a `main` that is not async)"),
    };
    let text = format!("the worker's `runtime` has failed: {text}");
    match began.get() {
        true => eprintln!("offspring: {text}"),
        // If the parent is gone there is nobody to tell.
        false => drop(outgoing.unfit(&Failure::new(FailureCode::Refused, text))),
    }
    FAILED
}

async fn work<'a>(conversation: Conversation, max_running: usize, begin: &'a Begin<'a>) -> i32 {
    let outgoing = Arc::clone(&conversation.outgoing);
    if conversation.ready().is_err() {
        return 0;
    }
    let mut server = Server {
        source: Source::new(&outgoing),
        conversation,
        begin,
        max_running,
        calls: Calls::default(),
        woken: Vec::new(),
        ended: false,
        slept: false,
    };
    poll_fn(|context| server.poll(context)).await
}

struct Server<'a> {
    conversation: Conversation,
    source: Source,
    begin: &'a Begin<'a>,
    max_running: usize,
    calls: Calls<'a>,
    /// The calls that are polled in this round.
    woken: Vec<u32>,
    /// No more requests come.
    ended: bool,
    /// There was nothing to read when it last looked.
    slept: bool,
}

impl Server<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<i32> {
        for _ in 0..ROUNDS {
            match self.round(context) {
                Ok(Poll::Ready(())) => {}
                Ok(Poll::Pending) => return Poll::Pending,
                Err(code) => return Poll::Ready(code),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Does what there is to do once; pending if there was nothing. An error is
    /// the end.
    fn round(&mut self, context: &mut Context<'_>) -> Result<Poll<()>, i32> {
        self.start_calls()?;
        if self.poll_calls(context)? {
            return Ok(Poll::Ready(()));
        }
        if self.ended && self.calls.is_empty() {
            return Err(end(&self.conversation.reader));
        }
        if self.ended || (self.is_full() && self.has_read_ahead()) {
            return Ok(Poll::Pending);
        }
        self.read(context)
    }

    fn is_full(&self) -> bool {
        self.calls.len() >= self.max_running
    }

    fn has_read_ahead(&self) -> bool {
        let reader = &self.conversation.reader;
        reader.rest().len() >= AHEAD || reader.unclaimed() >= DESCRIPTORS_AHEAD
    }

    /// Starts what was read, as far as more calls may run.
    fn start_calls(&mut self) -> Result<(), i32> {
        while !self.is_full() {
            let Conversation {
                requests, reader, ..
            } = &mut self.conversation;
            match requests.next(reader) {
                Ok(Some(Request::Call(id))) => self.start(id)?,
                Ok(Some(Request::Refuse(id, failure))) => self.fail(id, &failure)?,
                Ok(Some(Request::Cancel(id))) => self.cancel(id)?,
                Ok(Some(Request::Hello(_))) => return Err(broken("a second hello")),
                Err(violation) => return Err(broken(&violation.0)),
                Ok(None) => return Ok(()),
            }
        }
        Ok(())
    }

    fn start(&mut self, id: u32) -> Result<(), i32> {
        let Conversation {
            outgoing,
            requests,
            reader,
            ..
        } = &mut self.conversation;
        outgoing.note_started(requests);
        let scope = CallScope::new(id);
        match reader.hand_out(|arguments| scope.run(|| (self.begin)(id, arguments))) {
            Ok(future) => {
                let outcome = self.calls.start(id, future, scope);
                outcome.map_or(Ok(()), |outcome| self.answer(id, outcome))
            }
            Err(failure) => self.fail(id, &failure),
        }
    }

    /// Polls the calls that were woken; whether there were any.
    fn poll_calls(&mut self, context: &Context<'_>) -> Result<bool, i32> {
        let mut woken = std::mem::take(&mut self.woken);
        self.calls.woken(context.waker(), &mut woken);
        for id in &woken {
            if let Some(outcome) = self.calls.poll(*id) {
                self.answer(*id, outcome)?;
            }
        }
        self.woken = woken;
        Ok(!self.woken.is_empty())
    }

    fn answer(&self, id: u32, outcome: Outcome) -> Result<(), i32> {
        let Some(mut parcel) = outcome.transpose() else {
            return Ok(());
        };
        let made = parcel.as_mut().map_err(|failure| failure.clone());
        let answered = session::answer(&self.conversation.outgoing, id, made);
        parcel.into_iter().for_each(Parcel::recycle);
        answered
    }

    fn fail(&self, id: u32, failure: &Failure) -> Result<(), i32> {
        fail(&self.conversation.outgoing, id, failure)
    }

    /// Drops a call that runs; one that does not has been answered.
    fn cancel(&mut self, id: u32) -> Result<(), i32> {
        if !self.calls.cancel(id) {
            return Ok(());
        }
        let text = "cancelled while it ran";
        self.fail(id, &Failure::new(FailureCode::Cancelled, text))
    }

    /// Reads what there is; pending if there is nothing.
    fn read(&mut self, context: &mut Context<'_>) -> Result<Poll<()>, i32> {
        let Conversation {
            outgoing,
            reader,
            requests,
            spin,
            ..
        } = &mut self.conversation;
        let room = reader.room();
        let spin = spin.at(reader.is_empty());
        outgoing.wake_reading();
        let slept = std::mem::take(&mut self.slept);
        let found = if self.calls.is_empty() && !slept {
            // Nothing else could be late for it.
            spin.look(|| outgoing.recv(sys::ReadMode::Look, reader, room))
        } else {
            None
        };
        let Some(count) = found.or_else(|| self.source.read(context, reader, room)) else {
            self.slept = true;
            return Ok(Poll::Pending);
        };
        self.source.may_have_more = count == room;
        self.ended = count == 0;
        requests.look_ahead(reader);
        let withdrawn: Vec<_> = requests.withdrawn().collect();
        for id in withdrawn {
            self.cancel(id)?;
        }
        Ok(Poll::Ready(()))
    }
}

/// Tells when octets have come.
struct Source {
    /// Nothing for what is always ready, such as a file.
    ready: Option<Async<Arc<Outgoing>>>,
    outgoing: Arc<Outgoing>,
    /// It pays to read without waiting to be told.
    may_have_more: bool,
}

impl Source {
    fn new(outgoing: &Arc<Outgoing>) -> Self {
        // The mode of the descriptor stays as it is, for others may share it.
        let ready: io::Result<_> = Async::new_nonblocking(Arc::clone(outgoing));
        Self {
            ready: ready.ok(),
            outgoing: Arc::clone(outgoing),
            may_have_more: true,
        }
    }

    /// Reads; `None` if there is nothing yet, and then the context is woken.
    fn read(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut Reader,
        room: usize,
    ) -> Option<usize> {
        loop {
            if std::mem::take(&mut self.may_have_more)
                && let Some(count) = self.outgoing.recv(sys::ReadMode::Try, reader, room)
            {
                return Some(count);
            }
            let ready = self.ready.as_ref()?;
            self.may_have_more =
                !self.outgoing.sleep_reading() || ready.poll_readable(context).is_ready();
            if !self.may_have_more {
                return None;
            }
        }
    }
}
