//! The standard streams of a child: what the user says of them, and the
//! descriptors that come of it, in the same way for every launcher.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::parent::child::connection::Capture;
use crate::sys;

/// What the streams are called, by their numbers.
pub(crate) const NAMES: [&str; 3] = ["stdin", "stdout", "stderr"];

/// What a standard stream of a child is: for [`Builder::stdin`](crate::Builder::stdin),
/// [`stdout`](crate::Builder::stdout) and [`stderr`](crate::Builder::stderr).
///
/// It is made from anything that has a descriptor (a file, a socket, an end of a
/// pipe, a [`ChildStdout`](std::process::ChildStdout)), or is one of [`null`](Self::null),
/// [`inherit`](Self::inherit) and [`piped`](Self::piped).
///
/// ```
/// # offspring::worker!(SAY: fn(String) = |text: String| println!("{text}"));
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # offspring::init();
/// use offspring::Stdio;
///
/// let (mut read, write) = std::io::pipe()?;
/// let rpc = SAY.builder().stdout(write).stderr(Stdio::null()).spawn()?;
/// rpc.call("so").wait()?;
/// rpc.join().wait()?;
/// assert_eq!(std::io::read_to_string(&mut read)?, "so\n");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Stdio(Kind);

#[derive(Debug)]
enum Kind {
    Null,
    Inherit,
    Piped,
    /// A pipe, of which this process keeps the last bytes.
    Captured(usize),
    Descriptor(OwnedFd),
}

impl Stdio {
    /// Reads as empty, and takes whatever is written: `/dev/null`.
    #[must_use]
    pub const fn null() -> Self {
        Self(Kind::Null)
    }

    /// The stream of this process, as it is when the child is started.
    #[must_use]
    pub const fn inherit() -> Self {
        Self(Kind::Inherit)
    }

    /// A new pipe. This process takes its end from the handle: see
    /// [`Rpc::take_stdin`](crate::Rpc::take_stdin),
    /// [`take_stdout`](crate::Rpc::take_stdout) and
    /// [`take_stderr`](crate::Rpc::take_stderr).
    ///
    /// ```
    /// # offspring::worker!(SAY: fn(String) = |text: String| println!("{text}"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # offspring::init();
    /// let rpc = SAY.builder().stdout(offspring::Stdio::piped()).spawn()?;
    /// let stdout = rpc.take_stdout().expect("it is piped");
    /// rpc.call("so").wait()?;
    /// rpc.join().wait()?;
    /// assert_eq!(std::io::read_to_string(stdout)?, "so\n");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub const fn piped() -> Self {
        Self(Kind::Piped)
    }

    /// A pipe, of which this process keeps the last `bytes`.
    pub(crate) const fn captured(bytes: usize) -> Self {
        Self(Kind::Captured(bytes))
    }

    /// Returns whether this is a pipe that the user takes.
    pub(crate) fn is_piped(&self) -> bool {
        matches!(self.0, Kind::Piped)
    }
}

impl<T: Into<OwnedFd>> From<T> for Stdio {
    fn from(descriptor: T) -> Self {
        Self(Kind::Descriptor(descriptor.into()))
    }
}

/// Descriptors for the streams, by their numbers.
pub(crate) type Streams = [Option<OwnedFd>; 3];

/// The streams of one child.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// What the child is given. `None`: nothing was said of that stream.
    pub(crate) theirs: Streams,
    /// The ends of pipes that the user takes.
    pub(crate) pipes: Streams,
    pub(crate) capture: Option<Capture>,
}

impl Opened {
    /// Opens the streams of one child.
    pub(crate) fn new(streams: &[Option<Stdio>; 3]) -> io::Result<Self> {
        let mut opened = Self::default();
        for (number, stdio) in streams.iter().enumerate() {
            let Some(Stdio(kind)) = stdio else { continue };
            opened.theirs[number] = Some(match kind {
                Kind::Null => sys::null()?,
                Kind::Inherit => inherited(number)?,
                Kind::Descriptor(descriptor) => descriptor.try_clone()?,
                Kind::Piped => {
                    let (read, write) = sys::pipe()?;
                    let (theirs, ours) = match number {
                        0 => (read, write),
                        _ => (write, read),
                    };
                    opened.pipes[number] = Some(ours);
                    theirs
                }
                Kind::Captured(keep) => {
                    let (read, write) = sys::pipe()?;
                    opened.capture = Some(Capture::new(read.into(), *keep)?);
                    write
                }
            });
        }
        Ok(opened)
    }
}

/// A stream of this process; one that is closed is like [`Stdio::null`].
fn inherited(number: usize) -> io::Result<OwnedFd> {
    let copy = match number {
        0 => io::stdin().as_fd().try_clone_to_owned(),
        1 => io::stdout().as_fd().try_clone_to_owned(),
        _ => io::stderr().as_fd().try_clone_to_owned(),
    };
    copy.or_else(|_| sys::null())
}
