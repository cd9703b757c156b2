//! A panic in the child.

use std::fmt;

use crate::protocol::Failure;

/// A panic of the worker's function. The child caught it and goes on.
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
#[derive(Clone, PartialEq, Eq)]
pub struct Panic {
    pub(super) failure: Failure,
}

impl Panic {
    /// Returns the text of the panic.
    ///
    /// ```
    /// # fn f(error: &offspring::Error) -> Option<()> {
    /// println!("the worker panicked: {}", error.panic()?.message());
    /// # Some(()) }
    /// ```
    #[must_use]
    pub fn message(&self) -> &str {
        &self.failure.message
    }

    /// Returns where it was, as `file:line:column`. Empty if the child did not tell.
    ///
    /// ```
    /// # fn f(error: &offspring::Error) -> Option<()> {
    /// println!("the worker panicked at {}", error.panic()?.place());
    /// # Some(()) }
    /// ```
    #[must_use]
    pub fn place(&self) -> &str {
        &self.failure.place
    }

    /// Returns the backtrace, as [`std::backtrace::Backtrace`] prints it. It is captured whatever `RUST_BACKTRACE` says. The
    /// `Debug` form of a `Panic` and of its [`Error`](crate::Error) has it only if that variable of this process asks for
    /// one.
    ///
    /// ```
    /// # fn f(error: &offspring::Error) -> Option<()> {
    /// println!("{}", error.panic()?.backtrace());
    /// # Some(()) }
    /// ```
    #[must_use]
    pub fn backtrace(&self) -> &str {
        &self.failure.backtrace
    }

    /// Returns the backtrace on separate lines, if `RUST_BACKTRACE` asks for one.
    pub(super) fn wanted_backtrace(&self) -> String {
        let is_wanted = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
        match self.backtrace() {
            backtrace if is_wanted && !backtrace.is_empty() => format!("\n{backtrace}"),
            _ => String::new(),
        }
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("panicked")?;
        if !self.place().is_empty() {
            write!(f, " at {}", self.place())?;
        }
        write!(f, ": {}{}", self.message(), advice(self.message()))
    }
}

/// Returns what to do about a panic of tokio, whose text does not know of this crate.
fn advice(text: &str) -> &'static str {
    if text.contains("must be called from the context of a Tokio") {
        " (an async worker that uses tokio says so in its declaration: `runtime = function`)"
    } else if text.contains("Cannot start a runtime from within a runtime") {
        " (if `main` is async, call `offspring::init()` before it starts a runtime)"
    } else {
        ""
    }
}

/// As `Display`, with the backtrace below if `RUST_BACKTRACE` asks for one.
impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}{}", self.wanted_backtrace())
    }
}
