//! Errors of calls and children.
//!
//! An `Err` that the worker's function returns is part of its result, and never becomes an [`Error`]. An error is created
//! where the failure is found. The name of the child is added there or on its way to the user ([`Error::about`]).

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use offspring_serialisers::Error as SerialiserError;

use crate::protocol::{Failure, FailureCode};

mod child_id;
mod crash;
mod flatten;
mod kind;
mod panic;

pub use crate::protocol::Started;
pub(crate) use child_id::{ChildId, Runner};
pub use crash::Crash;
pub use flatten::{CallError, FlattenErrors};
pub use kind::ErrorKind;
pub use panic::Panic;

/// The cause of an error.
#[derive(Clone)]
enum Cause {
    None,
    Panic(Panic),
    /// The end of the child, and a clause that says what became of the call.
    Crash(Arc<Crash>, &'static str),
    Other(Arc<dyn StdError + Send + Sync>),
}

/// The content of an error. It is shared by the calls that one failure completes.
#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    /// The event as text, to append to the name of the child: it starts with a space, or with a colon if it is a sentence.
    text: Arc<str>,
    started: Started,
    /// Whether another attempt must fail, too.
    is_permanent: bool,
    /// It was another child that had started the call, or may have.
    was_tried: bool,
    /// A clause on the work of a cancelled call, to append to the text.
    aftermath: &'static str,
    child: Option<Arc<ChildId>>,
    cause: Cause,
}

/// Why a call, or the child, failed.
///
/// It is cheap to clone. [`kind`](Self::kind), and a predicate for each kind, tell
/// errors apart; [`started`](Self::started) says whether the function ran.
///
/// It is displayed as one sentence, which names the worker and its process and contains the text of its source, if it has
/// one. So `{error}` in a log is complete. `unwrap`, and a `main` that returns the error, print the same.
/// [`source`](std::error::Error::source) returns the [`io::Error`](std::io::Error) or the serialiser's
/// [`Error`](crate::format::Error) behind it.
///
/// [troubleshooting.md](https://docs.rs/crate/offspring/latest/source/docs/troubleshooting.md)
/// lists messages by their exact text, and says what to do.
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// use std::{error::Error, io, process::Command};
///
/// let error = ECHO.program(Command::new("/nowhere/worker")).spawn().unwrap_err();
/// let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
/// assert_eq!(cause.map(io::Error::kind), Some(io::ErrorKind::NotFound));
/// println!("{error}"); // worker `…` could not be started: there is no program `/nowhere/worker`: …
/// # assert!(error.to_string().contains("could not be started: there is no program `/nowhere/worker`: No such file"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

/// Constructors.
impl Error {
    fn new(kind: ErrorKind, text: impl Into<Arc<str>>) -> Self {
        Self(Arc::new(Inner {
            kind,
            text: text.into(),
            started: Started::No,
            is_permanent: false,
            was_tried: false,
            aftermath: "",
            child: None,
            cause: Cause::None,
        }))
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    pub(crate) fn had_started(self, started: Started) -> Self {
        self.with(|own| own.started = started)
    }

    /// Says what is known of attempts of other children at this call, if there were any.
    pub(crate) fn after(self, earlier: Option<Started>) -> Self {
        let started = earlier.map_or(self.started(), |earlier| earlier.either(self.started()));
        if started == self.started() {
            return self;
        }
        self.with(|own| (own.started, own.was_tried) = (started, true))
    }

    /// Says that four other children have ended in the same way.
    pub(crate) fn fatal(self) -> Self {
        self.with(|own| {
            if let Cause::Crash(_, during) = &mut own.cause {
                *during = " before it started this call, like four children before it";
            }
        })
    }

    /// Returns the words for attempts of other children at this call. Empty if there were none.
    fn attempts(&self) -> &'static str {
        match self.0.started {
            _ if !self.0.was_tried => "",
            Started::Unknown => " after another child may have started this call",
            _ => " after another child had started this call",
        }
    }

    /// Names the child that it is about, unless it names one.
    pub(crate) fn about<'a>(self, child: impl Into<Option<&'a Arc<ChildId>>>) -> Self {
        match (&self.0.child, child.into()) {
            (None, Some(child)) => self.with(|own| own.child = Some(Arc::clone(child))),
            _ => self,
        }
    }

    /// Records that another attempt must fail, too.
    pub(crate) fn permanent(self) -> Self {
        self.with(|own| own.is_permanent = true)
    }

    pub(crate) fn caused_by(self, error: impl StdError + Send + Sync + 'static) -> Self {
        self.with(|own| own.cause = Cause::Other(Arc::new(error)))
    }

    pub(crate) fn start(text: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Start, format!(" could not be started: {text}"))
    }
    pub(crate) fn handshake(text: Arc<str>, started: Started) -> Self {
        Self::new(ErrorKind::Handshake, text).had_started(started)
    }
    pub(crate) fn init(text: Arc<str>) -> Self {
        Self::new(ErrorKind::Init, text)
    }
    pub(crate) fn protocol(text: Arc<str>) -> Self {
        Self::new(ErrorKind::Protocol, text).had_started(Started::Unknown)
    }
    /// `what` could not be turned into bytes here.
    pub(crate) fn encode(what: &str, error: SerialiserError) -> Self {
        let text = format!(": {what} could not be encoded");
        Self::new(ErrorKind::Encode, text).caused_by(error)
    }
    /// `what` arrived, and could not be decoded here.
    pub(crate) fn decode(what: &str, error: SerialiserError) -> Self {
        let error =
            Self::new(ErrorKind::Decode, format!(": {what} could not be decoded")).caused_by(error);
        error.had_started(Started::Yes)
    }
    pub(crate) fn too_long(text: impl fmt::Display) -> Self {
        let error = Self::new(ErrorKind::TooLong, format!(": {text}"));
        error.had_started(Started::Unknown)
    }
    /// The child has ended. `in_call` is whether it is the error of a call.
    pub(crate) fn dead(crash: Arc<Crash>, started: Started, in_call: bool) -> Self {
        let during = match started {
            _ if !in_call => "",
            Started::Yes => " while it ran this call",
            Started::No => " before it started this call",
            Started::Unknown => ", and may have started this call",
        };
        Self::new(ErrorKind::ChildDead, "").with(|own| {
            own.started = started;
            own.child = Some(Arc::clone(&crash.child));
            own.cause = Cause::Crash(crash, during);
        })
    }
    /// The timeout of a wait for something other than an answer has elapsed.
    pub(crate) fn timed_out(what: &str, time: Duration) -> Self {
        let error = Self::new(ErrorKind::Timeout, format!(" {what} within {time:?}"));
        error.had_started(Started::Unknown)
    }
    /// The timeout of a wait for an answer has elapsed. The call goes on.
    pub(crate) fn unanswered(started: Started, time: Duration) -> Self {
        let state = match started {
            Started::Yes => "it is running, and goes on",
            Started::No => "it has not started, and goes on waiting",
            Started::Unknown => "it may have started, and goes on",
        };
        let text = format!(" has not answered this call within {time:?}: {state}");
        Self::new(ErrorKind::Timeout, text).had_started(started)
    }
    /// The call was not done by its deadline. [`within`](Self::within) adds the timeout.
    pub(crate) fn expired(started: Started) -> Self {
        Self::new(ErrorKind::Timeout, "").had_started(started)
    }
    /// Adds the timeout `time` to the error of an expired call.
    pub(crate) fn within(self, time: Option<Duration>) -> Self {
        let (ErrorKind::Timeout, Some(time)) = (self.kind(), time) else {
            return self;
        };
        let state = match self.0.started {
            Started::Unknown if self.0.was_tried => {
                "it was cancelled, and another child may have started it"
            }
            _ if self.0.was_tried => "it was cancelled, and another child had started it",
            Started::Yes => "it was cancelled while it ran",
            Started::No => "it was cancelled before it started",
            Started::Unknown => "it was cancelled, and may have started",
        };
        let text = format!(" did not finish this call within {time:?}: {state}");
        self.with(|own| own.text = text.into())
    }
    /// Says that the child, which may have run the expired call, was killed. A thread cannot be.
    pub(crate) fn and_killed(self) -> Self {
        let child = self.0.child.as_ref();
        let is_thread = child.is_some_and(|child| child.runner == Runner::Thread);
        if is_thread || self.started() == Started::No {
            return self;
        }
        self.with(|own| own.aftermath = "; its child was killed")
    }
    /// Says that the child, which runs the expired call, is not killed.
    pub(crate) fn and_goes_on(self) -> Self {
        self.with(|own| own.aftermath = "; its child runs it to its end")
    }
    pub(crate) fn closed() -> Self {
        Self::new(
            ErrorKind::Closed,
            " takes no more calls: its handle was closed",
        )
    }
    /// The error of a child whose parent has closed the link.
    pub(crate) fn parent_is_gone() -> Self {
        Self::new(ErrorKind::Closed, ": the parent is gone")
    }
    pub(crate) fn forked(started: Started) -> Self {
        let text = ": this handle belongs to the process that `fork` has copied, whose threads are not here: start a child of this process's own";
        Self::new(ErrorKind::Closed, text).had_started(started)
    }
    pub(crate) fn refused(text: impl fmt::Display) -> Self {
        let error = Self::new(ErrorKind::Refused, format!(": {text}"));
        error.had_started(Started::Unknown)
    }
    pub(crate) fn unhandled() -> Self {
        let text = " sent an event, but there is no `on_event` and no stream of events";
        Self::new(ErrorKind::UnhandledEvent, text)
    }
    pub(crate) fn would_deadlock(started: Started) -> Self {
        let text =
            ": the queue of events is full, and their callback waits for what lies behind them";
        Self::new(ErrorKind::WouldDeadlock, text).had_started(started)
    }
    pub(crate) fn full(text: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Full, format!(": {text}"))
    }
    pub(crate) fn missed(events: usize) -> Self {
        Self::full(format_args!(
            "{events} events came before they were asked for, and made way for others"
        ))
    }
    pub(crate) fn callback(text: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::CallbackPanic,
            format!(": a callback panicked: {text}"),
        )
    }
}

impl From<Failure> for Error {
    /// The failure of a call, as the child sent it.
    fn from(failure: Failure) -> Self {
        let text = &failure.message;
        match failure.code {
            FailureCode::Panic => Self::new(ErrorKind::Panic, "").with(|own| {
                own.started = Started::Yes;
                own.cause = Cause::Panic(Panic { failure });
            }),
            FailureCode::Decode => {
                let text = format!(" could not decode the arguments: {text}");
                Self::new(ErrorKind::Decode, text)
            }
            FailureCode::Encode => {
                let text = format!(" could not encode the result: {text}");
                Self::new(ErrorKind::Encode, text).had_started(Started::Yes)
            }
            FailureCode::TooLong => Self::too_long(text),
            FailureCode::Cancelled => {
                Self::new(ErrorKind::Cancelled, format!(": the call was {text}"))
            }
            FailureCode::NoMethod | FailureCode::Refused => {
                let started = match failure.code {
                    FailureCode::NoMethod => Started::No,
                    _ => Started::Unknown,
                };
                let text = format!(" refused the call: {text}");
                Self::new(ErrorKind::Refused, text).had_started(started)
            }
        }
    }
}

impl Error {
    /// Returns whether another attempt to start the child must fail, too.
    pub(crate) fn is_permanent(&self) -> bool {
        self.0.is_permanent
    }

    /// Returns the kind of the error.
    ///
    /// ```
    /// # fn risk(text: String) { panic!("{text}") }
    /// # offspring::worker!(RISK: fn(String) = risk);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use offspring::ErrorKind;
    ///
    /// let error = RISK.spawn()?.call("no luck").wait().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Panic);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the panic of the function. `None` for an error of another kind.
    ///
    /// ```
    /// # fn risk(text: String) { panic!("{text}") }
    /// # offspring::worker!(RISK: fn(String) = risk);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let error = RISK.spawn()?.call("no luck").wait().unwrap_err();
    /// assert_eq!(error.panic().map(|panic| panic.message()), Some("no luck"));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn panic(&self) -> Option<&Panic> {
        match &self.0.cause {
            Cause::Panic(panic) => Some(panic),
            _ => None,
        }
    }

    /// Returns how the child ended. `None` for an error of another kind.
    ///
    /// ```
    /// # fn leave(code: String) {
    /// #     std::process::exit(code.parse().unwrap_or(0))
    /// # }
    /// # offspring::worker!(LEAVE: fn(String) = leave);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let error = LEAVE.spawn()?.call("3").wait().unwrap_err();
    /// assert_eq!(error.crash().and_then(|crash| crash.status().code()), Some(3));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn crash(&self) -> Option<&Crash> {
        match &self.0.cause {
            Cause::Crash(crash, _) => Some(crash),
            _ => None,
        }
    }

    /// Returns whether the function had started.
    ///
    /// ```
    /// # use offspring::Error;
    /// fn may_be_repeated(error: &Error) -> bool {
    ///     error.started() == offspring::Started::No
    /// }
    /// ```
    #[must_use]
    pub fn started(&self) -> Started {
        self.0.started
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            child,
            text,
            cause,
            was_tried,
            aftermath,
            ..
        } = &*self.0;
        match (child, text.strip_prefix(": ")) {
            (Some(child), _) => write!(f, "{child}{text}")?,
            (None, Some(sentence)) => f.write_str(sentence)?,
            (None, None) => write!(f, "the worker{text}")?,
        }
        match cause {
            Cause::Panic(panic) => write!(f, " {panic}")?,
            Cause::Crash(crash, _) if *was_tried => return crash.fmt_end(self.attempts(), f),
            Cause::Crash(crash, during) => crash.fmt_end(during, f)?,
            Cause::Other(error) => write!(f, ": {error}")?,
            Cause::None => {}
        }
        let is_other = |child: &Arc<ChildId>| child.runner == Runner::Other;
        if self.kind() == ErrorKind::Decode && child.as_ref().is_some_and(is_other) {
            f.write_str("; do both programs declare the same types?")?;
        }
        match self.kind() {
            // Its text has said it.
            ErrorKind::Timeout if *was_tried => Ok(()),
            ErrorKind::Timeout => f.write_str(aftermath),
            _ => f.write_str(self.attempts()),
        }
    }
}

/// As `Display`, with the backtrace of a panic if `RUST_BACKTRACE` asks for one: for `unwrap`, and for `main`.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backtrace = self.panic().map(Panic::wanted_backtrace);
        write!(f, "{self}{}", backtrace.unwrap_or_default())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.cause {
            Cause::Other(error) => Some(&**error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_cross_threads_and_say_what_is_behind_them() {
        fn check<T: Send + Sync + Clone + StdError + 'static>(_: &T) {}
        let error = Error::start("there is no file");
        check(&error);
        assert!(error.source().is_none());
        let child = Arc::new(ChildId::of_worker("echo"));
        let error = error
            .caused_by(std::io::Error::other("inner"))
            .about(&child);
        let text = "worker `echo` could not be started: there is no file: inner";
        assert_eq!(error.to_string(), text);
        assert_eq!(format!("{error:?}"), text);
        assert_eq!(error.source().unwrap().to_string(), "inner");
    }

    #[test]
    fn attempts_of_other_children_are_told() {
        let after = |earlier| Error::start("no file").after(earlier).to_string();
        let text = "the worker could not be started: no file";
        assert_eq!(after(None), text);
        assert_eq!(after(Some(Started::No)), text);
        let had = " after another child had started this call";
        assert_eq!(after(Some(Started::Yes)), format!("{text}{had}"));
        let may = " after another child may have started this call";
        assert_eq!(after(Some(Started::Unknown)), format!("{text}{may}"));
    }

    #[test]
    fn the_first_child_that_is_named_stays() {
        let name = |name| Arc::new(ChildId::of_worker(name));
        let error = Error::closed().about(&name("a")).about(&name("b"));
        assert!(error.to_string().starts_with("worker `a` takes"), "{error}");
        assert_eq!(Error::refused("no").to_string(), "no");
    }
}
