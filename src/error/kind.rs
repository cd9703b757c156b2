//! The kinds of errors, and a predicate for each.

use super::Error;

/// The kind of an [`Error`], to `match` on; from [`Error::kind`].
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
    /// The child is not the worker that was asked for.
    Handshake,
    /// The worker's `init`, or a template's preload, failed.
    Init,
    /// The function panicked. The child caught the panic and goes on.
    Panic,
    /// The child ended before it answered: see [`Error::crash`].
    ChildDead,
    /// The timeout of a wait or of the call has elapsed.
    Timeout,
    /// The call was cancelled.
    Cancelled,
    /// The child, or this process, refused the call.
    Refused,
    /// The handle was closed, or belongs to the process that `fork` has copied.
    Closed,
    /// A value could not be turned into bytes. The source is the serialiser's error,
    /// if it happened in this process.
    Encode,
    /// Bytes could not be turned into a value. The source is the serialiser's error,
    /// if it happened in this process.
    Decode,
    /// A message is longer than [`max_message`](crate::Builder::max_message), or has more descriptors than
    /// [`max_descriptors`](crate::Builder::max_descriptors).
    TooLong,
    /// A limit is reached, and the operation does not wait.
    Full,
    /// A callback waits for something that cannot happen before the callback returns.
    #[doc(alias = "Deadlock")]
    WouldDeadlock,
    /// The other side broke the protocol.
    Protocol,
    /// An event came, and the child has neither a handler nor a stream of events.
    UnhandledEvent,
    /// A callback of the user panicked.
    CallbackPanic,
}

/// Defines a predicate for each kind.
macro_rules! predicates {
    ($($(#[$doc:meta])* $name:ident: $kind:ident,)*) => {
        /// A predicate for each [kind](Self::kind).
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
    /// Returns whether the function panicked. The child caught the panic and goes on.
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
    /// Returns whether the child ended before it answered: see [`crash`](Self::crash).
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
    /// Returns whether a timeout elapsed. After the timeout of a wait the call goes on, and may be waited for again. After
    /// the call's own ([`Call::timeout`](crate::Call::timeout)) it was cancelled.
    ///
    /// ```
    /// # fn nap() { std::thread::park_timeout(std::time::Duration::from_secs(60)) }
    /// # offspring::worker!(NAP: fn() = nap);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use std::time::Duration;
    ///
    /// let rpc = NAP.builder().kill_on_drop(true).spawn()?;
    /// let mut call = rpc.call();
    /// assert!(call.wait_timeout(Duration::from_millis(10)).unwrap_err().is_timeout());
    /// # Ok(()) }
    /// ```
    is_timeout: Timeout,
    /// Returns whether the child could not be started.
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
    /// Returns whether the child is not the worker that was asked for: it sent no hello, or the hello of another worker,
    /// serialiser or version.
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
    /// Returns whether the worker's `init`, or a preload of a [template](crate::Template), failed or panicked.
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
    /// Returns whether bytes could not be decoded: arguments in the child, or a result or an event in the parent.
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
    /// Returns whether a value could not be encoded: arguments in the parent, or a result or an event in the child.
    ///
    /// ```
    /// # use offspring::Error;
    /// fn has_no_form(error: &Error) -> bool {
    ///     error.is_encode() // JSON has none for NaN, for example.
    /// }
    /// ```
    is_encode: Encode,
    /// Returns whether the request, the result or the event exceeds [`max_message`](crate::Builder::max_message) or
    /// [`max_descriptors`](crate::Builder::max_descriptors).
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().max_message(100).spawn()?;
    /// assert!(rpc.call("x".repeat(200)).wait().unwrap_err().is_too_long());
    /// # Ok(()) }
    /// ```
    is_too_long: TooLong,
    /// Returns whether the child refused the call, for example because the worker dropped its
    /// [`Responder`](https://docs.rs/offspring/latest/offspring/struct.Responder.html). It is also the error of
    /// [`Events::progress`](crate::Events::progress) outside of a call.
    ///
    /// ```
    /// # fn outside(events: &offspring::Events<String>) -> Result<(), String> {
    /// #     let error = events.progress("early".into()).unwrap_err();
    /// #     error.is_refused().then_some(()).ok_or(error.to_string())
    /// # }
    /// # offspring::worker!(WORK: fn() = |_: &mut ()| (), init() = outside, events = String);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// // Its `init` calls `progress`, and checks that this `is_refused`.
    /// WORK.spawn()?.call().wait()
    /// # }
    /// ```
    is_refused: Refused,
    /// Returns whether the call was cancelled.
    ///
    /// ```
    /// # use offspring::Error;
    /// fn is_worth_a_line_in_the_log(error: &Error) -> bool {
    ///     !error.is_cancelled()
    /// }
    /// ```
    is_cancelled: Cancelled,
    /// Returns whether the handle was closed before the call was made, or belongs to the process that `fork` copied.
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
    /// Returns whether the other side broke the protocol.
    ///
    /// ```
    /// # use offspring::Error;
    /// fn is_a_bug_of_the_worker(error: &Error) -> bool {
    ///     error.is_panic() || error.is_protocol()
    /// }
    /// ```
    is_protocol: Protocol,
    /// Returns whether an event came, and the child has neither a handler nor a stream of events.
    ///
    /// ```
    /// # fn count(to: String, events: &offspring::Events<String>) {
    /// #     for n in 0..to.parse().unwrap_or(0) {
    /// #         events.send(n.to_string()).expect("the parent reads");
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
    /// Returns whether a limit was reached: of `try_call` and `detach`, which do not wait, or of the events kept for a
    /// call until they are asked for.
    ///
    /// ```
    /// # use offspring::Error;
    /// fn status(error: &Error) -> u16 {
    ///     if error.is_full() { 503 } else { 500 }
    /// }
    /// ```
    is_full: Full,
    /// Returns whether a callback of the user panicked.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// let rpc = ECHO
    ///     .builder()
    ///     .on_error(move |error| sender.send(error).expect("it is received"))
    ///     .spawn()?;
    /// rpc.call("so").on_done(|_| panic!("no luck"));
    /// assert!(receiver.recv().expect("an error").is_callback_panic());
    /// # Ok(()) }
    /// ```
    is_callback_panic: CallbackPanic,
}
