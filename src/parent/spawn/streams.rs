//! The standard streams of a child: the user's options, and the file descriptors that are opened for them. They are the same
//! for every launcher.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::parent::child::child_io::Outputs;
use crate::parent::child::output::{OutputMode, OutputReader};
use crate::sys;

/// The names of the streams, indexed by file descriptor number.
pub(crate) const NAMES: [&str; 3] = ["stdin", "stdout", "stderr"];

/// A standard stream of a child, for [`Builder::stdin`](crate::Builder::stdin), [`stdout`](crate::Builder::stdout) and
/// [`stderr`](crate::Builder::stderr).
///
/// It is created from any type that owns a file descriptor (a file, a socket, an end of a pipe, a
/// [`ChildStdout`](std::process::ChildStdout)), or by [`null`](Self::null), [`inherit`](Self::inherit),
/// [`piped`](Self::piped) or [`lines`](Self::lines).
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
    Read(OutputMode),
    Descriptor(OwnedFd),
}

impl Stdio {
    /// Returns `/dev/null`: reads are at the end of the file, and writes are discarded.
    ///
    /// ```
    /// # offspring::worker!(SAY: fn(String) = |text: String| println!("{text}"));
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = SAY.builder().stdout(offspring::Stdio::null()).spawn()?;
    /// rpc.call("so").wait()?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub const fn null() -> Self {
        Self(Kind::Null)
    }

    /// Returns the same stream of this process, as it is when the child is started.
    ///
    /// ```
    /// # offspring::worker!(SAY: fn(String) = |text: String| eprintln!("{text}"));
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// // The child writes to the stderr of this process.
    /// let rpc = SAY.builder().stderr(offspring::Stdio::inherit()).spawn()?;
    /// rpc.call("so").wait()?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub const fn inherit() -> Self {
        Self(Kind::Inherit)
    }

    /// Returns a new pipe. This process takes its end from the handle: see [`Rpc::take_stdin`](crate::Rpc::take_stdin),
    /// [`take_stdout`](crate::Rpc::take_stdout) and [`take_stderr`](crate::Rpc::take_stderr).
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

    /// Returns a new pipe, from which this process reads and keeps the last `bytes`.
    pub(crate) const fn captured(bytes: usize) -> Self {
        Self(Kind::Read(OutputMode::Tail(bytes)))
    }

    /// Returns a new pipe. `handler` is called with each line that the child writes, without the newline, and with invalid UTF-8
    /// replaced. For the stdout and stderr of a single child, or of each child of a pool.
    ///
    /// A line of more than 64 KiB is split into pieces of that size. The last line need not end with a newline. Everything that
    /// the child has written is passed to the handler before [`join`](crate::Rpc::join) is done. Output of a process that
    /// outlives the child is not, from then on. Lines and answers are not ordered: a line may arrive before or after the answer
    /// of the call that wrote it.
    ///
    /// The handler runs on the child's callback thread, never at the same time as [`on_event`](crate::Builder::on_event) and
    /// other callbacks of the child. In a pool it may run on the callback threads of several children at the same time. While it
    /// runs, later answers wait, and the child blocks if it writes more than the pipe holds (64 KiB). A panic is reported to
    /// [`on_error`](crate::Builder::on_error), and the handler is called with the next line.
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
        Self(Kind::Read(OutputMode::Lines(Arc::new(handler))))
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

/// File descriptors of the streams, indexed by number.
pub(crate) type Streams = [Option<OwnedFd>; 3];

/// The open streams of a child.
#[derive(Debug, Default)]
pub(crate) struct OpenedStreams {
    /// The child's streams. `None` if the user did not set the stream.
    pub(crate) theirs: Streams,
    /// The ends of pipes that the user takes.
    pub(crate) pipes: Streams,
    pub(crate) outputs: Outputs,
}

impl OpenedStreams {
    /// Opens the streams of a child.
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
                    let reader = OutputReader::new(read, purpose.clone())?;
                    // Stdin cannot be read: see `Recipe::check`.
                    opened.outputs[usize::from(number == 2)] = Some(reader);
                    write
                }
            });
        }
        Ok(opened)
    }
}

/// Returns a duplicate of a stream of this process, or `/dev/null` if it is closed.
fn inherited(number: usize) -> io::Result<OwnedFd> {
    let copy = match number {
        0 => io::stdin().as_fd().try_clone_to_owned(),
        1 => io::stdout().as_fd().try_clone_to_owned(),
        _ => io::stderr().as_fd().try_clone_to_owned(),
    };
    copy.or_else(|_| sys::null())
}
