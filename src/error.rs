//! What can go wrong between the two processes.
//!
//! [`Error`] is the machinery's; what a worker's function returns as its own
//! `Err` is part of its result and never becomes one of these.

use std::fmt;
use std::sync::Arc;

use crate::protocol::{Failure, FailureCode};

mod crash;

pub use crate::protocol::Started;
pub use crash::Crash;

/// A panic of the worker's function, caught in the child, which lives on.
///
/// ```
/// # fn risk(text: String) { panic!("{text}") }
/// # offspring::worker!(RISK: fn(String) = risk);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let rpc = RISK.spawn()?;
/// let error = rpc.call("no luck").wait().unwrap_err();
/// let panic = error.panic().expect("it is one");
/// assert_eq!(panic.message(), "no luck");
/// assert!(panic.place().contains(".rs:"));
/// println!("{}", panic.backtrace());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    failure: Failure,
}

impl Panic {
    /// What it said.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.failure.message
    }

    /// Where it was, as `file:line:column`; empty if the child did not say.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.failure.place
    }

    /// The stack at that place, as [`std::backtrace::Backtrace`] prints it.
    #[must_use]
    pub fn backtrace(&self) -> &str {
        &self.failure.backtrace
    }
}

/// A text that is the error of each of many calls is shared.
#[derive(Debug, Clone)]
enum Kind {
    /// The child could not be started; whether another attempt cannot help.
    Start(String, bool),
    /// The other side is not the worker that was meant; the same.
    Handshake(Arc<str>, Started, bool),
    /// The worker's `init` failed, or what a template was to preload.
    Init(Arc<str>),
    /// The function panicked.
    Panic(Panic),
    /// The child could not decode the arguments.
    DecodeArguments(String),
    /// The child could not encode the result.
    EncodeResult(String),
    /// The parent could not encode the arguments (or the child an event).
    Encode(String),
    /// The parent could not decode a result or an event.
    Decode(String),
    TooLong(String),
    Cancelled(String),
    Refused(String),
    /// The child is gone.
    Dead(Arc<Crash>, Started),
    /// What has not happened when the wait was over.
    TimedOut(&'static str),
    /// The call was not done by its deadline.
    Expired(Started),
    /// The handle was closed.
    Closed,
    /// The handle is another process's, of which this one is a copy.
    Forked(Started),
    /// The other side broke the protocol.
    Protocol(Arc<str>),
    /// An event came and nobody handles events.
    Unhandled,
    /// There is no room for what cannot wait.
    Full(String),
    /// A callback of the user panicked.
    Callback(String),
}

/// Why a call, or the child, failed.
///
/// It is cheap to clone, and each call has its own. The predicates tell the
/// kinds apart; [`started`](Self::started) says whether the function ran.
///
/// ```
/// # use offspring::Error;
/// fn may_be_repeated(error: &Error) -> bool {
///     error.started() == offspring::Started::No
/// }
/// ```
#[derive(Clone)]
pub struct Error(Arc<Kind>);

impl Error {
    fn new(kind: Kind) -> Self {
        Self(Arc::new(kind))
    }

    pub(crate) fn start(text: impl Into<String>) -> Self {
        Self::new(Kind::Start(text.into(), false))
    }
    /// However often it is tried.
    pub(crate) fn never_starts(text: impl Into<String>) -> Self {
        Self::new(Kind::Start(text.into(), true))
    }
    /// `lasting`: another attempt cannot help.
    pub(crate) fn handshake(text: impl Into<Arc<str>>, started: Started, lasting: bool) -> Self {
        Self::new(Kind::Handshake(text.into(), started, lasting))
    }
    pub(crate) fn init(text: impl Into<Arc<str>>) -> Self {
        Self::new(Kind::Init(text.into()))
    }
    pub(crate) fn encode(error: &offspring_serialisers::Error) -> Self {
        Self::new(Kind::Encode(error.to_string()))
    }
    pub(crate) fn decode(error: &offspring_serialisers::Error) -> Self {
        Self::new(Kind::Decode(error.to_string()))
    }
    pub(crate) fn decode_panicked(message: String) -> Self {
        Self::new(Kind::Decode(message))
    }
    pub(crate) fn too_long(text: impl Into<String>) -> Self {
        Self::new(Kind::TooLong(text.into()))
    }
    pub(crate) fn dead(crash: Arc<Crash>, started: Started) -> Self {
        Self::new(Kind::Dead(crash, started))
    }
    pub(crate) fn timed_out(what: &'static str) -> Self {
        Self::new(Kind::TimedOut(what))
    }
    pub(crate) fn expired(started: Started) -> Self {
        Self::new(Kind::Expired(started))
    }
    /// Its time was up before it was sent.
    pub(crate) fn expired_unsent() -> Self {
        Self::expired(Started::No)
    }
    pub(crate) fn missed(events: usize) -> Self {
        Self::full(format!(
            "{events} events came before anybody asked for them, and made way for others"
        ))
    }
    pub(crate) fn closed() -> Self {
        Self::new(Kind::Closed)
    }
    pub(crate) fn forked(started: Started) -> Self {
        Self::new(Kind::Forked(started))
    }
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::new(Kind::Refused(text.into()))
    }
    pub(crate) fn protocol(text: impl Into<Arc<str>>) -> Self {
        Self::new(Kind::Protocol(text.into()))
    }
    pub(crate) fn unhandled() -> Self {
        Self::new(Kind::Unhandled)
    }
    pub(crate) fn stuck() -> Self {
        Self::full("the queue of events is full, and its callback waits for what lies behind them")
    }
    pub(crate) fn full(text: impl Into<String>) -> Self {
        Self::new(Kind::Full(text.into()))
    }
    pub(crate) fn callback(text: impl Into<String>) -> Self {
        Self::new(Kind::Callback(text.into()))
    }

    /// A child was not to be had, and another attempt cannot help.
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(*self.0, Kind::Start(_, true) | Kind::Handshake(_, _, true))
    }

    /// The panic of the function, if that is what it was.
    #[must_use]
    pub fn panic(&self) -> Option<&Panic> {
        match &*self.0 {
            Kind::Panic(panic) => Some(panic),
            _ => None,
        }
    }

    /// How the child ended, if that is what it was.
    #[must_use]
    pub fn crash(&self) -> Option<&Crash> {
        match &*self.0 {
            Kind::Dead(crash, _) => Some(crash),
            _ => None,
        }
    }

    /// Whether the function had started.
    #[must_use]
    pub fn started(&self) -> Started {
        match &*self.0 {
            Kind::Panic(_) | Kind::EncodeResult(_) | Kind::Decode(_) => Started::Yes,
            Kind::Handshake(_, started, _)
            | Kind::Dead(_, started)
            | Kind::Expired(started)
            | Kind::Forked(started) => *started,
            Kind::TimedOut(_) | Kind::TooLong(_) | Kind::Refused(_) | Kind::Protocol(_) => {
                Started::Unknown
            }
            _ => Started::No,
        }
    }
}

/// Methods that tell one kind of error from others.
macro_rules! predicates {
    ($($(#[$doc:meta])* $name:ident: $kind:pat,)*) => {
        impl Error {$(
            $(#[$doc])*
            #[must_use]
            pub fn $name(&self) -> bool {
                matches!(*self.0, $kind)
            }
        )*}
    };
}

predicates! {
    /// The function panicked; the child caught it and lives.
    ///
    /// ```
    /// # fn risk(text: String) { panic!("{text}") }
    /// # offspring::worker!(RISK: fn(String) = risk);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = RISK.spawn()?;
    /// assert!(rpc.call("no luck").wait().unwrap_err().is_panic());
    /// # Ok(()) }
    /// ```
    is_panic: Kind::Panic(_),
    /// The child ended before it answered: see [`crash`](Self::crash).
    ///
    /// ```
    /// # fn leave(code: String) {
    /// #     std::process::exit(code.parse().unwrap_or(0))
    /// # }
    /// # offspring::worker!(LEAVE: fn(String) = leave);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = LEAVE.spawn()?;
    /// assert!(rpc.call("3").wait().unwrap_err().is_child_dead());
    /// # Ok(()) }
    /// ```
    is_child_dead: Kind::Dead(..),
    /// The time is up. If it was the time of a wait, the call goes on and may be
    /// waited for again; if it was the call's own
    /// ([`Call::timeout`](crate::Call::timeout)), it was cancelled.
    is_timeout: Kind::TimedOut(_) | Kind::Expired(_),
    /// The child could not be started at all.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let nowhere = std::process::Command::new("/nowhere/worker");
    /// assert!(ECHO.program(nowhere).spawn().unwrap_err().is_start());
    /// # Ok(()) }
    /// ```
    is_start: Kind::Start(..),
    /// What was started is not the worker that was meant: it said no hello, or
    /// a hello of another worker, serialiser or version.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let cat = std::process::Command::new("cat");
    /// let rpc = ECHO.command(cat).spawn()?;
    /// assert!(rpc.call("so").wait().unwrap_err().is_handshake());
    /// # Ok(()) }
    /// ```
    is_handshake: Kind::Handshake(..),
    /// The worker's `init` failed or panicked, or what a
    /// [template](crate::Template) was to preload.
    ///
    /// ```
    /// # offspring::worker!(STUCK: fn() = |_: &mut u8| (), init() = || Err::<u8, _>("no disk"));
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = STUCK.spawn()?;
    /// let error = rpc.call().wait().unwrap_err();
    /// assert!(error.is_init());
    /// assert!(error.to_string().contains("no disk"));
    /// # Ok(()) }
    /// ```
    is_init: Kind::Init(_),
    /// Octets could not be turned into a value: arguments in the child, or a
    /// result or an event in the parent.
    ///
    /// ```
    /// # offspring::worker!(TEXT: fn(Vec<u8>) -> String = |_: Vec<u8>| String::new());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// // The worker takes text, and is sent octets that are none.
    /// let cat = std::process::Command::new("cat");
    /// let rpc = TEXT.command(cat).plain().spawn()?;
    /// assert!(rpc.call(b"\xff").wait().unwrap_err().is_decode());
    /// # Ok(()) }
    /// ```
    is_decode: Kind::Decode(_) | Kind::DecodeArguments(_),
    /// A value could not be turned into octets: arguments in the parent, or a
    /// result or an event in the child.
    is_encode: Kind::Encode(_) | Kind::EncodeResult(_),
    /// The request or the result is longer than
    /// [`max_message`](crate::Builder::max_message).
    is_too_long: Kind::TooLong(_),
    /// The child refused the call: the worker dropped its
    /// [`Responder`](https://docs.rs/offspring/latest/offspring/struct.Responder.html),
    /// say. It is also what [`Events::progress`](crate::Events::progress) says
    /// where there is no call.
    is_refused: Kind::Refused(_),
    /// The call was cancelled.
    is_cancelled: Kind::Cancelled(_),
    /// The handle was closed before the call was made, or belongs to the process
    /// that `fork` has copied.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.spawn()?;
    /// let other = rpc.clone();
    /// rpc.join().wait()?;
    /// assert!(other.call("so").wait().unwrap_err().is_closed());
    /// # Ok(()) }
    /// ```
    is_closed: Kind::Closed | Kind::Forked(_),
    /// The other side broke the protocol.
    is_protocol: Kind::Protocol(_),
    /// An event came, and there is neither a handler nor a stream for events.
    ///
    /// ```
    /// # fn count(to: String, events: &offspring::Events<String>) {
    /// #     for n in 0..to.parse().unwrap_or(0) {
    /// #         events.send(n.to_string()).expect("the parent is there");
    /// #     }
    /// # }
    /// # offspring::worker!(COUNT: fn(String) = count, events = String);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// let rpc = COUNT
    ///     .builder()
    ///     .on_error(move |error| sender.send(error).expect("it is received"))
    ///     .spawn()?;
    /// rpc.call("1").wait()?;
    /// assert!(receiver.recv().expect("an error").is_unhandled_event());
    /// # Ok(()) }
    /// ```
    is_unhandled_event: Kind::Unhandled,
    /// There is no room for what cannot wait for room.
    is_full: Kind::Full(_),
    /// A callback of the user's own panicked.
    is_callback_panic: Kind::Callback(_),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure.code {
            FailureCode::Panic => Kind::Panic(Panic { failure }),
            FailureCode::Decode => Kind::DecodeArguments(failure.message),
            FailureCode::Encode => Kind::EncodeResult(failure.message),
            FailureCode::TooLong => Kind::TooLong(failure.message),
            FailureCode::Cancelled => Kind::Cancelled(failure.message),
            FailureCode::Refused => Kind::Refused(failure.message),
        };
        Self::new(kind)
    }
}

/// What is to be done about a panic of tokio, of which its text does not know.
fn advice(text: &str) -> &'static str {
    if text.contains("must be called from the context of a Tokio") {
        " (an async worker that uses tokio says so in its declaration: `runtime = function`)"
    } else if text.contains("Cannot start a runtime from within a runtime") {
        " (if `main` is async, call `offspring::init()` before it starts a runtime)"
    } else {
        ""
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, text): (&str, &str) = match &*self.0 {
            Kind::Start(text, _) => ("the child could not be started: ", text),
            Kind::Handshake(text, ..) => ("the handshake with the child failed: ", text),
            Kind::Panic(panic) => {
                let (text, advice) = (panic.message(), advice(panic.message()));
                return match panic.place() {
                    "" => write!(f, "the worker panicked: {text}{advice}"),
                    place => write!(f, "the worker panicked at {place}: {text}{advice}"),
                };
            }
            Kind::DecodeArguments(text) => ("the child could not decode the arguments: ", text),
            Kind::EncodeResult(text) => ("the child could not encode the result: ", text),
            Kind::Encode(text) => ("the value could not be encoded: ", text),
            Kind::Decode(text) => ("what the child sent could not be decoded: ", text),
            Kind::Init(text) => ("", text),
            Kind::TooLong(text) | Kind::Cancelled(text) => ("", text),
            Kind::Refused(text) | Kind::Full(text) => ("", text),
            Kind::Dead(crash, Started::Yes) => {
                return write!(f, "{crash} (while it ran this call)");
            }
            Kind::Dead(crash, Started::No) => {
                return write!(f, "{crash} (before it started this call)");
            }
            Kind::Dead(crash, Started::Unknown) => {
                return write!(f, "{crash} (it may have started this call)");
            }
            Kind::TimedOut(what) => ("the time is up, ", what),
            Kind::Expired(_) => ("", "the call was not answered in time, and was cancelled"),
            Kind::Closed => ("", "the handle was closed, no more calls are taken"),
            Kind::Forked(_) => (
                "this handle belongs to the process that `fork` has copied, whose threads are not here: ",
                "start a child of this process's own",
            ),
            Kind::Protocol(text) => ("the other side broke the protocol: ", text),
            Kind::Unhandled => (
                "an event came, but ",
                "there is no on_event and no stream of events",
            ),
            Kind::Callback(text) => ("a callback panicked: ", text),
        };
        write!(f, "{what}{text}")
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::error::Error for Error {}

/// The error of a call whose worker can fail by itself, folded into one.
///
/// ```
/// # use offspring::{Error, Fold, Folded};
/// fn report(outcome: Result<Result<u32, String>, Error>) -> Result<u32, Folded<String>> {
///     outcome.fold()
/// }
/// assert_eq!(report(Ok(Ok(1))).unwrap(), 1);
/// assert!(matches!(report(Ok(Err("no".into()))), Err(Folded::Worker(text)) if text == "no"));
/// ```
#[derive(Debug, Clone)]
pub enum Folded<E> {
    /// The worker's own error.
    Worker(E),
    /// The machinery's.
    Call(Error),
}

impl<E: fmt::Display> fmt::Display for Folded<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(error) => error.fmt(f),
            Self::Call(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for Folded<E> {}

/// Folds the two results of a call into one; see [`Folded`].
pub trait Fold<T, E> {
    /// The value, or whichever error there was.
    ///
    /// # Errors
    ///
    /// The worker's or the machinery's.
    fn fold(self) -> Result<T, Folded<E>>;
}

impl<T, E> Fold<T, E> for Result<Result<T, E>, Error> {
    fn fold(self) -> Result<T, Folded<E>> {
        self.map_err(Folded::Call)?.map_err(Folded::Worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_cross_threads_and_name_no_source_twice() {
        fn check<T: Send + Sync + Clone + std::error::Error + 'static>(_: &T) {}
        let error = Error::start("no such file");
        check(&error);
        assert!(std::error::Error::source(&error).is_none());
        assert_eq!(
            error.to_string(),
            "the child could not be started: no such file"
        );
    }
}
