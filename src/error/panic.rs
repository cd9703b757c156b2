//! A panic in the child.

use std::fmt;

use crate::protocol::Failure;

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
#[derive(Clone, PartialEq, Eq)]
pub struct Panic {
    pub(super) failure: Failure,
}

impl Panic {
    /// The panic's text.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.failure.message
    }

    /// Where it was, as `file:line:column`. Empty if the child did not say.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.failure.place
    }

    /// The stack at that place, as [`std::backtrace::Backtrace`] prints it, whatever
    /// `RUST_BACKTRACE` says. The `Debug` form of a `Panic` and of its [`Error`](crate::Error)
    /// has it only if that variable of this process asks for it.
    #[must_use]
    pub fn backtrace(&self) -> &str {
        &self.failure.backtrace
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

/// As it is shown, and the backtrace below it if `RUST_BACKTRACE` asks for it.
impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}{}", self.wanted_backtrace())
    }
}

impl Panic {
    /// The backtrace on separate lines, if `RUST_BACKTRACE` asks for one.
    pub(super) fn wanted_backtrace(&self) -> String {
        let is_wanted = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
        match self.backtrace() {
            backtrace if is_wanted && !backtrace.is_empty() => format!("\n{backtrace}"),
            _ => String::new(),
        }
    }
}
