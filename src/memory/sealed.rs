use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::ops::Deref;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::sys::Sealed;

/// Octets in a memory file that nobody can change any more: to give something large to many.
///
/// A worker that takes or returns `SharedBytes`, alone or as a part of something else, in a call, a result or an event,
/// in any format, gets the file and maps it: nothing is copied, and all who have it share the same memory. It is used
/// as a `[u8]`. A clone is another handle on the same bytes.
///
/// Where descriptors cannot go (a command, ssh) the bytes themselves are sent, and become a memory file of the
/// receiver's own.
///
/// # When it pays
///
/// Where one thing is sent often, or to many, or where several copies of it would hurt. Making one takes time: about
/// 100 µs for the seal, since the kernel makes sure that no page is about to be written to, and for each page the time
/// to find and to map it, in each process.
///
/// Measured (`cargo bench --bench memory`, a busy machine of two CPUs): made anew for each call and each result it is
/// slower than [`Bytes`](crate::Bytes) up to 16 MiB, and twice as fast at 64 MiB. One that is made once and sent again
/// and again, of which the child reads all, takes as long as sending `Bytes` there and back at 16 to 64 KiB, half as
/// long at 256 KiB, and a fifth to a third of that from 1 MiB on. What goes back and forth is faster as [`SharedMemory`](crate::SharedMemory).
///
/// # What it takes
///
/// A descriptor, for as long as there is a handle in this process; another one while it is sent. The memory is given
/// back when the last process has dropped it. Where a process may not write files of that size
/// ([`Limits`](crate::Limits)), it may not make these either.
///
/// # Alignment
///
/// In each process the first byte lies at the start of a page, unless there is none. So it is aligned for any number or
/// vector of numbers, and a slice of them can be read in place (`slice::align_to`, `bytemuck::cast_slice`).
///
/// # Why it may be lent
///
/// The file is sealed against writing and against changes of its size. The kernel sets these seals only if nobody has it
/// mapped for writing, lets nobody do so afterwards, and takes no seal off. A receiver looks at the seals before it maps
/// the file: what is not a memory file, or not sealed so, is an error of that call, result or event.
///
/// ```
/// use offspring::{SharedBytes, worker};
///
/// fn first_line(text: SharedBytes) -> Vec<u8> {
///     text.split(|&byte| byte == b'\n').next().unwrap_or_default().to_vec()
/// }
/// worker!(FIRST_LINE: fn(SharedBytes) -> Vec<u8> = first_line);
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     let text = SharedBytes::copy_from_slice(b"one\ntwo\n")?;
///     // Many children, one copy.
///     for _ in 0..2 {
///         assert_eq!(FIRST_LINE.spawn()?.call(&text).wait()?, b"one");
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct SharedBytes(Arc<Sealed>);

impl SharedBytes {
    /// A copy of these bytes; there may be none.
    ///
    /// ```
    /// # use offspring::SharedBytes;
    /// assert_eq!(SharedBytes::copy_from_slice(b"abc")?[1..], *b"bc");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no memory or no descriptor left for it.
    pub fn copy_from_slice(bytes: &[u8]) -> io::Result<Self> {
        Ok(Self(Arc::new(Sealed::copy(bytes)?)))
    }

    /// Makes `length` bytes, which are zeros at first, and has `fill` change them in place, without a copy.
    ///
    /// ```
    /// # use offspring::SharedBytes;
    /// let squares = SharedBytes::build(4, |bytes| {
    ///     for (n, byte) in (0..).zip(bytes) {
    ///         *byte = n * n;
    ///     }
    /// })?;
    /// assert_eq!(*squares, [0, 1, 4, 9]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no room or no descriptor left for it.
    pub fn build(length: usize, fill: impl FnOnce(&mut [u8])) -> io::Result<Self> {
        Ok(Self(Arc::new(Sealed::build(length, fill)?)))
    }

    pub(super) fn open(file: OwnedFd) -> io::Result<Self> {
        Ok(Self(Arc::new(Sealed::open(file)?)))
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.0.file()
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.octets()
    }
}

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for SharedBytes {
    fn borrow(&self) -> &[u8] {
        self
    }
}

/// By the bytes.
impl PartialEq for SharedBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for SharedBytes {}

impl Hash for SharedBytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

/// As [`copy_from_slice`](Self::copy_from_slice).
impl TryFrom<&[u8]> for SharedBytes {
    type Error = io::Error;

    fn try_from(bytes: &[u8]) -> io::Result<Self> {
        Self::copy_from_slice(bytes)
    }
}

/// As [`copy_from_slice`](Self::copy_from_slice).
impl TryFrom<Vec<u8>> for SharedBytes {
    type Error = io::Error;

    fn try_from(bytes: Vec<u8>) -> io::Result<Self> {
        Self::copy_from_slice(&bytes)
    }
}

/// How many there are: nobody wants to see them all.
impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedBytes({} bytes)", self.len())
    }
}
