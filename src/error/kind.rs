//! The kinds of errors, and a predicate for each.

use super::Error;

/// What has gone wrong, to `match` on; from [`Error::kind`].
///
/// ```
/// use offspring::{Error, ErrorKind};
///
/// fn status(error: &Error) -> u16 {
///     match error.kind() {
///         ErrorKind::Timeout => 504,
///         ErrorKind::Full | ErrorKind::Closed => 503,
///         _ => 500,
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No child could be started. The [source](std::error::Error::source) is the
    /// [`io::Error`](std::io::Error), if there was one.
    Start,
    /// What was started is not the worker that was meant.
    Handshake,
    /// The worker's `init` failed, or what a template was to preload.
    Init,
    /// The function panicked; the child caught it and lives.
    Panic,
    /// The child ended before it answered: see [`Error::crash`].
    ChildDead,
    /// The time of a wait or of the call is up.
    Timeout,
    /// The call was cancelled.
    Cancelled,
    /// The child, or this side, refused what was asked of it.
    Refused,
    /// The handle was closed, or belongs to the process that `fork` has copied.
    Closed,
    /// A value could not be turned into bytes. The source is the serialiser's error,
    /// if it happened in this process.
    Encode,
    /// Bytes could not be turned into a value. The source is the serialiser's error,
    /// if it happened in this process.
    Decode,
    /// A message is longer than [`max_message`](crate::Builder::max_message), or has
    /// more descriptors than may go along.
    TooLong,
    /// There is no room for what cannot wait for room.
    Full,
    /// A callback waits for what can only come once it has returned.
    #[doc(alias = "Deadlock")]
    WouldDeadlock,
    /// The other side broke the protocol.
    Protocol,
    /// An event came, and there is neither a handler nor a stream for events.
    UnhandledEvent,
    /// A callback of the user panicked.
    CallbackPanic,
}

/// Methods that tell one kind of error from others.
macro_rules! predicates {
    ($($(#[$doc:meta])* $name:ident: $kind:ident,)*) => {
        impl Error {$(
            $(#[$doc])*
            #[must_use]
            pub fn $name(&self) -> bool {
                self.kind() == ErrorKind::$kind
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
    is_panic: Panic,
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
    is_child_dead: ChildDead,
    /// The time is up. If it was the time of a wait, the call goes on and may be
    /// waited for again; if it was the call's own
    /// ([`Call::timeout`](crate::Call::timeout)), it was cancelled.
    is_timeout: Timeout,
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
    is_start: Start,
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
    is_handshake: Handshake,
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
    is_init: Init,
    /// Bytes could not be turned into a value: arguments in the child, or a
    /// result or an event in the parent.
    ///
    /// ```
    /// # offspring::worker!(TEXT: fn(Vec<u8>) -> String = |_: Vec<u8>| String::new());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// // The worker takes text, and is sent bytes that are none.
    /// let cat = std::process::Command::new("cat");
    /// let rpc = TEXT.command(cat).plain().spawn()?;
    /// assert!(rpc.call(b"\xff").wait().unwrap_err().is_decode());
    /// # Ok(()) }
    /// ```
    is_decode: Decode,
    /// A value could not be turned into bytes: arguments in the parent, or a
    /// result or an event in the child.
    is_encode: Encode,
    /// The request or the result is longer than
    /// [`max_message`](crate::Builder::max_message).
    is_too_long: TooLong,
    /// The child refused the call: the worker dropped its
    /// [`Responder`](https://docs.rs/offspring/latest/offspring/struct.Responder.html),
    /// say. It is also what [`Events::progress`](crate::Events::progress) says
    /// where there is no call.
    is_refused: Refused,
    /// The call was cancelled.
    is_cancelled: Cancelled,
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
    is_closed: Closed,
    /// The other side broke the protocol.
    is_protocol: Protocol,
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
    is_unhandled_event: UnhandledEvent,
    /// There is no room for what cannot wait for room: `try_call`, `detach`, and
    /// events that were asked for late.
    is_full: Full,
    /// A callback of the user panicked.
    is_callback_panic: CallbackPanic,
}
