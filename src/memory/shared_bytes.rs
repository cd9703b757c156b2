use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::sys::SealedMap;

/// Immutable bytes in a memory file, to pass large data to many processes without a copy.
///
/// A `SharedBytes` may be an argument, a result or an event, or a part of one, in any format. The receiver gets the file and
/// maps it: nothing is copied, and all processes share the memory. It derefs to `[u8]`. A clone is another handle to the
/// same bytes.
///
/// Over a link without descriptors (a command, ssh) the bytes are sent, and the receiver puts them into a new memory
/// file.
///
/// # When it pays
///
/// For data that is sent often or to many processes, and for data of which copies take too much memory. Creating one
/// takes about 100 µs for the seal, because the kernel checks that no page is about to be written to, and a page fault for
/// each page, in each process.
///
/// Time of a call with a `SharedBytes`, divided by that of a call that sends the same [`Bytes`](crate::Bytes) there and
/// back (`cargo bench -p benches --bench memory`, a busy machine of two CPUs):
///
/// | size | created once, the child reads all of it | created anew for each call and each result |
/// |---|--:|--:|
/// | 16 to 64 KiB | 1 | above 1 |
/// | 256 KiB | 0.5 | above 1 |
/// | 1 to 16 MiB | 0.2 to 0.33 | above 1 |
/// | 64 MiB | 0.2 to 0.33 | 0.5 |
///
/// For data that both sides modify, [`SharedMemory`](crate::SharedMemory) is faster.
///
/// # What it takes
///
/// A file descriptor as long as this process has a handle, and another one while it is sent. The memory is freed when the
/// last process has dropped its handles. [`Limits::file_size`](crate::Limits::file_size) limits its size.
///
/// # Alignment
///
/// Unless it is empty, it starts at a page boundary in each process. So it is aligned for any number or vector of numbers,
/// and can be read as a slice of them in place (`slice::align_to`, `bytemuck::cast_slice`).
///
/// # Why it is safe
///
/// The file is sealed against writing and resizing. The kernel sets these seals only if no writable mapping exists, allows
/// none afterwards, and removes no seal. A receiver checks the seals before it maps the file. A file that is no memory
/// file, or has not these seals, is a decode error of that call, result or event.
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
///     // Two children, one copy.
///     for _ in 0..2 {
///         assert_eq!(FIRST_LINE.spawn()?.call(&text).wait()?, b"one");
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct SharedBytes(pub(super) Arc<SealedMap>);

impl SharedBytes {
    /// Creates a copy of `bytes`, which may be empty.
    ///
    /// ```
    /// # use offspring::SharedBytes;
    /// assert_eq!(SharedBytes::copy_from_slice(b"abc")?[1..], *b"bc");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// The system has no memory or no descriptor for it.
    pub fn copy_from_slice(bytes: &[u8]) -> io::Result<Self> {
        Ok(Self(Arc::new(SealedMap::copy(bytes)?)))
    }

    /// Creates `length` zero bytes, and calls `fill` to set them in place, without a copy.
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
    /// The system has no memory or no descriptor for it.
    pub fn build(length: usize, fill: impl FnOnce(&mut [u8])) -> io::Result<Self> {
        Ok(Self(Arc::new(SealedMap::build(length, fill)?)))
    }

    pub(super) fn open(file: OwnedFd) -> io::Result<Self> {
        Ok(Self(Arc::new(SealedMap::open(file)?)))
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.bytes()
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

/// Compares the bytes.
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

/// Copies the bytes, as [`copy_from_slice`](Self::copy_from_slice).
impl TryFrom<&[u8]> for SharedBytes {
    type Error = io::Error;

    fn try_from(bytes: &[u8]) -> io::Result<Self> {
        Self::copy_from_slice(bytes)
    }
}

/// Copies the bytes, as [`copy_from_slice`](Self::copy_from_slice).
impl TryFrom<Vec<u8>> for SharedBytes {
    type Error = io::Error;

    fn try_from(bytes: Vec<u8>) -> io::Result<Self> {
        Self::copy_from_slice(&bytes)
    }
}

/// The length only.
impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedBytes({} bytes)", self.len())
    }
}
