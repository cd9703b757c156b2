//! The concurrent server: many calls at once, in one thread.
//!
//! It reads as much as there is, starts each call as it comes, and polls those
//! that were woken; once there are none it has the answers written, and sleeps
//! until bytes come or a call is woken. At the end of input it finishes what
//! runs. When answers are written before that is up to
//! [`ReplyWriter`](super::reply_writer::ReplyWriter).
//!
//! With as many calls running as may be, requests stay in the buffer, and when
//! the child has [read ahead](Conn::has_read_ahead), in the link. A cancel
//! takes effect as soon as it is read.

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_io::Async;

use super::executor::{CallFuture, CallReply, Executor};
use super::exit_code::{FAILED, report_violation};
use super::function::Runtime;
use super::handshake::{self, Backend, Conn, fail};
use crate::base::panics::catch_panic;
use crate::message::{Incoming, Message};
use crate::protocol::{Failure, FailureCode, Request};
use crate::sys::{self, ChildLink, ReadMode};
use crate::trace_calls::CallScope;

/// The backend, as the child's hello names it.
pub const BACKEND: Backend = Backend {
    name: Some("concurrent"),
    start: start_reactor,
};

/// Parses a service that has an `async fn`.
#[doc(hidden)]
#[macro_export]
macro_rules! __concurrent_service {
    ($at:tt $($service:tt)*) => {
        $crate::__service!($($service)*);
    };
}

/// The delay of a timer that is never awaited.
const FAR: Duration = Duration::from_secs(1000);
/// After this many rounds without a pause the runtime runs timers and other tasks.
const ROUNDS: usize = 16;

/// Part of the name of each function in which a tokio runtime of one thread runs its main future.
const TOKIO: &str = "tokio::runtime::scheduler::current_thread";

/// Fails if this thread is inside the `block_on` of a tokio runtime that has no other thread. Its timers and sockets are
/// there for the calls, but nothing runs them while the thread serves, so the calls would wait for ever.
fn check_runtime() -> io::Result<()> {
    // The names of a backtrace cost milliseconds. Such a runtime has an epoll set.
    if sys::has_epoll()? && Backtrace::force_capture().to_string().contains(TOKIO) {
        let text = "`init` was called inside a tokio runtime of one thread (`#[tokio::main(flavor = \"current_thread\")]`), whose timers and sockets do not work while the thread serves: call `offspring::init()` first in a `main` that is not async";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    Ok(())
}

/// Starts `async-io`'s reactor and its thread. `async-io` panics if the system has no file descriptor or thread left.
fn start_reactor() -> io::Result<()> {
    sys::check_async_io()?;
    check_runtime()?;
    let hook = std::panic::take_hook();
    // The error goes to the parent instead of stderr.
    std::panic::set_hook(Box::new(|_| ()));
    // `block_on` would start the thread again while it unwinds.
    let timer = || -> Poll<_> {
        let context = &mut Context::from_waker(Waker::noop());
        Pin::new(&mut async_io::Timer::after(FAR)).poll(context)
    };
    let started: io::Result<_> = sys::with_signals_blocked(|_| {
        let create = || Ok(catch_panic(timer));
        sys::above_stdio(create)
    });
    std::panic::set_hook(hook);
    started?.map(drop).map_err(io::Error::other)
}

/// Starts a call: takes its id and arguments.
pub(super) type StartCall<'a> = dyn Fn(u32, Incoming<'_>) -> Result<CallFuture<'a>, Failure> + 'a;

/// Serves until the parent ends its output or exits, in `runtime`. Default: `async-io`'s `block_on`. Returns the exit
/// code.
pub(super) fn serve<'a>(
    conn: Conn,
    max_running: usize,
    runtime: Option<Runtime>,
    start_call: &'a StartCall<'a>,
) -> i32 {
    let reply_writer = Arc::clone(&conn.reply_writer);
    let (began, ended) = (Cell::new(false), Cell::new(None));
    let server = async {
        began.set(true);
        ended.set(Some(run_server(conn, max_running, start_call).await));
    };
    let run = runtime.unwrap_or(|server| async_io::block_on(server));
    let ran = catch_panic(|| run(Box::pin(server)));
    let text = match (ended.get(), ran) {
        (Some(code), Ok(())) => return code,
        (None, Ok(())) => "it returned before the server that it was given was done: it has to run that to its end".into(),
        (_, Err(panic)) => format!("it panicked: {panic} (a runtime cannot start inside another, as that of `#[tokio::main]`: call `offspring::init()` before it, in a `main` that is not async)"),
    };
    let text = format!("the worker's `runtime` has failed: {text}");
    match began.get() {
        true => eprintln!("offspring: {text}"),
        // It fails if the parent has exited.
        false => drop(reply_writer.init_failed(&Failure::new(FailureCode::Refused, text))),
    }
    FAILED
}

async fn run_server<'a>(conn: Conn, max_running: usize, start_call: &'a StartCall<'a>) -> i32 {
    if let Err(unsent) = conn.ready() {
        return unsent.exit_code();
    }
    let mut server = ServerTask {
        source: RequestSource::new(&conn.link),
        conn,
        start_call,
        max_running,
        executor: Executor::default(),
        woken: Vec::new(),
        ended: false,
        slept: false,
    };
    poll_fn(|context| server.poll(context)).await
}

struct ServerTask<'a> {
    conn: Conn,
    source: RequestSource,
    start_call: &'a StartCall<'a>,
    max_running: usize,
    executor: Executor<'a>,
    /// The tasks that are polled in this round.
    woken: Vec<u32>,
    /// The input has ended.
    ended: bool,
    /// The last read found nothing.
    slept: bool,
}

impl ServerTask<'_> {
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

    /// Starts calls, then polls or reads. Pending if there was nothing to do. An error is the exit code.
    fn round(&mut self, context: &mut Context<'_>) -> Result<Poll<()>, i32> {
        self.start_calls()?;
        if self.poll_calls(context)? {
            return Ok(Poll::Ready(()));
        }
        if self.ended && self.executor.is_empty() {
            return Err(self.conn.exit_code());
        }
        if self.ended || (self.is_full() && self.conn.has_read_ahead()) {
            return Ok(Poll::Pending);
        }
        self.read(context)
    }

    fn is_full(&self) -> bool {
        self.executor.len() >= self.max_running
    }

    /// Starts the calls that were read, up to `max_running`.
    fn start_calls(&mut self) -> Result<(), i32> {
        while !self.is_full() {
            match self.conn.requests.next(&mut self.conn.reader) {
                Ok(Some(Request::Call(id))) => self.start(id)?,
                Ok(Some(Request::Refuse(id, failure))) => self.fail(id, &failure)?,
                Ok(Some(Request::Cancel(id))) => self.cancel(id)?,
                Ok(Some(Request::Hello(_))) => return Err(report_violation("a second hello")),
                Err(violation) => return Err(report_violation(&violation.0)),
                Ok(None) => return Ok(()),
            }
        }
        Ok(())
    }

    fn start(&mut self, id: u32) -> Result<(), i32> {
        let conn = &mut self.conn;
        conn.reply_writer.note_started(&conn.requests)?;
        let (scope, start) = (CallScope::new(id), self.start_call);
        let reader = &mut conn.reader;
        match reader.hand_out(|arguments| scope.run(|| start(id, arguments))) {
            Ok(future) => {
                let outcome = self.executor.start(id, future, scope);
                outcome.map_or(Ok(()), |outcome| self.answer(id, outcome))
            }
            Err(failure) => self.fail(id, &failure),
        }
    }

    /// Polls the woken tasks, and returns whether there were any.
    fn poll_calls(&mut self, context: &Context<'_>) -> Result<bool, i32> {
        let mut woken = std::mem::take(&mut self.woken);
        self.executor.woken(context.waker(), &mut woken);
        for id in &woken {
            if let Some(outcome) = self.executor.poll(*id) {
                self.answer(*id, outcome)?;
            }
        }
        self.woken = woken;
        Ok(!self.woken.is_empty())
    }

    fn answer(&self, id: u32, outcome: CallReply) -> Result<(), i32> {
        let Some(mut message) = outcome.transpose() else {
            return Ok(());
        };
        let made = message.as_mut().map_err(|failure| failure.clone());
        let answered = handshake::answer(&self.conn.reply_writer, id, made);
        message.into_iter().for_each(Message::recycle);
        answered
    }

    fn fail(&self, id: u32, failure: &Failure) -> Result<(), i32> {
        fail(&self.conn.reply_writer, id, failure)
    }

    /// Drops a running call. Any other call was answered before.
    fn cancel(&mut self, id: u32) -> Result<(), i32> {
        if !self.executor.cancel(id) {
            return Ok(());
        }
        let text = "cancelled while it ran";
        self.fail(id, &Failure::new(FailureCode::Cancelled, text))
    }

    /// Reads once. Pending if there is nothing to read.
    fn read(&mut self, context: &mut Context<'_>) -> Result<Poll<()>, i32> {
        let conn = &mut self.conn;
        conn.link.wake_reading();
        let room = conn.reader.room();
        let slept = std::mem::take(&mut self.slept);
        // No task waits while this thread spins.
        let spins = self.executor.is_empty() && !slept;
        let found = if spins { conn.spin() } else { None };
        let Some(count) = found.or_else(|| self.source.read(context, conn)) else {
            self.slept = true;
            return Ok(Poll::Pending);
        };
        self.source.may_have_more = count == room;
        self.ended = count == 0;
        conn.requests.note_cancels(&mut conn.reader);
        let withdrawn: Vec<_> = conn.requests.withdrawn().collect();
        for id in withdrawn {
            self.cancel(id)?;
        }
        Ok(Poll::Ready(()))
    }
}

/// Tells when there is something to read.
struct RequestSource {
    /// `None` for what is always ready, such as a file.
    ready: Option<Async<Arc<ChildLink>>>,
    /// It pays to read without waiting for the descriptor to be ready.
    may_have_more: bool,
}

impl RequestSource {
    fn new(link: &Arc<ChildLink>) -> Self {
        // The mode of the descriptor stays as it is, because other processes may share it.
        let ready: io::Result<_> = Async::new_nonblocking(Arc::clone(link));
        Self {
            ready: ready.ok(),
            may_have_more: true,
        }
    }

    /// Reads. If there is nothing yet, registers the waker of `context` and returns `None`.
    fn read(&mut self, context: &mut Context<'_>, conn: &mut Conn) -> Option<usize> {
        loop {
            if std::mem::take(&mut self.may_have_more)
                && let Some(count) = conn.recv(ReadMode::Try)
            {
                return Some(count);
            }
            let ready = self.ready.as_ref()?;
            self.may_have_more =
                !conn.link.sleep_reading() || ready.poll_readable(context).is_ready();
            if !self.may_have_more {
                return None;
            }
        }
    }
}
