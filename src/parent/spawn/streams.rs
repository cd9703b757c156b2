//! The standard streams of a child: what the user says of them, and the
//! descriptors that come of it, in the same way for every launcher.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::parent::child::connection::Outputs;
use crate::parent::child::output::{Reader, Use};
use crate::sys;

/// What the streams are called, by their numbers.
pub(crate) const NAMES: [&str; 3] = ["stdin", "stdout", "stderr"];

/// What a standard stream of a child is: for [`Builder::stdin`](crate::Builder::stdin),
/// [`stdout`](crate::Builder::stdout) and [`stderr`](crate::Builder::stderr).
///
/// It is made from anything that has a descriptor (a file, a socket, an end of a
/// pipe, a [`ChildStdout`](std::process::ChildStdout)), or is one of [`null`](Self::null),
/// [`inherit`](Self::inherit), [`piped`](Self::piped) and [`lines`](Self::lines).
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
    /// A pipe that this process reads.
    Read(Use),
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
        Self(Kind::Read(Use::Tail(bytes)))
    }

    /// A new pipe whose lines `handler` is called with, without their newlines, as
    /// UTF-8 in which what is none is replaced. For stdout and stderr, of a single
    /// child or of each child of a pool.
    ///
    /// A line of more than 64 KiB comes in pieces of that size. The last line need
    /// not end with a newline. What the child has written is handed on before
    /// [`join`](crate::Rpc::join) is done; what a process that outlives the child
    /// writes there later is not. A line says nothing of how far calls are: it may
    /// come before or after the answer of the call that has written it.
    ///
    /// The handler runs on the child's thread for callbacks, one after the other
    /// with [`on_event`](crate::Builder::on_event) and the others; that of a pool
    /// on the threads of several children at once. While it runs later answers
    /// wait for it, and a child that writes more than the pipe holds (64 KiB). If
    /// it panics, that goes to [`on_error`](crate::Builder::on_error), and the next
    /// line comes.
    ///
    /// ```
    /// # offspring::worker!(SAY: fn(String) = |text: String| println!("{text}"));
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use offspring::Stdio;
    ///
    /// let (sender, lines) = std::sync::mpsc::channel();
    /// let each = move |line: &str| drop(sender.send(line.to_owned()));
    /// let pool = SAY.builder().stdout(Stdio::lines(each)).pool().spawn()?;
    /// pool.call("one\ntwo").wait()?;
    /// pool.join().wait()?;
    /// assert_eq!(lines.iter().collect::<Vec<_>>(), ["one", "two"]);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn lines(handler: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Kind::Read(Use::Lines(Arc::new(handler))))
    }

    /// Returns whether this process reads what the child writes.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.0, Kind::Read(_))
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
    pub(crate) outputs: Outputs,
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
                Kind::Read(purpose) => {
                    let (read, write) = sys::pipe()?;
                    let reader = Reader::new(read, purpose.clone())?;
                    // Stdin cannot be read: see `Recipe::check`.
                    opened.outputs[usize::from(number == 2)] = Some(reader);
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
