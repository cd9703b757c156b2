use std::fmt;
use std::io;
use std::ops::{Bound, Range, RangeBounds};

use super::{SharedBytes, mappings};
use crate::sys::{SharedMap, SharedMemory};

/// Size of the chunks of [`SharedMemory::update`] and [`SharedMemory::scan`], in bytes. A chunk fits into a CPU cache.
const CHUNK: usize = 64 << 10;

impl SharedMemory {
    /// Creates memory of `length` bytes, which are zero. `length` may be 0.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// let memory = SharedMemory::new(1000)?;
    /// assert_eq!(memory.to_vec(), [0; 1000]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// The system has no memory or no descriptor for it. As always on Linux, pages are allocated when they are first
    /// touched.
    pub fn new(length: usize) -> io::Result<Self> {
        Ok(Self(mappings::created(SharedMap::create(length)?)))
    }

    /// Creates memory that holds a copy of `bytes`.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// let memory = SharedMemory::copy_from_slice(b"abc")?;
    /// assert_eq!(memory.to_vec(), b"abc");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn copy_from_slice(bytes: &[u8]) -> io::Result<Self> {
        let memory = Self::new(bytes.len())?;
        memory.write(0, bytes);
        Ok(memory)
    }

    /// Returns the length in bytes, which never changes.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// assert_eq!(SharedMemory::new(5)?.len(), 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the length is 0.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// assert!(SharedMemory::new(0)?.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether both are handles to the same memory: what is written to one is read from the other.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// let memory = SharedMemory::new(1)?;
    /// assert!(memory.is_same(&memory.clone()));
    /// assert!(!memory.is_same(&SharedMemory::new(1)?));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.identity() == other.0.identity()
    }

    /// Copies bytes from `offset` on into `to`, and fills `to`.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// let memory = SharedMemory::copy_from_slice(b"abcd")?;
    /// let mut two = [0; 2];
    /// memory.read(1, &mut two);
    /// assert_eq!(&two, b"bc");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    /// If `offset + to.len()` exceeds the length.
    #[track_caller]
    pub fn read(&self, offset: usize, to: &mut [u8]) {
        self.0.read(offset, to);
    }

    /// Copies `from` to the bytes from `offset` on.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// let memory = SharedMemory::copy_from_slice(b"abcd")?;
    /// memory.write(1, b"xx");
    /// assert_eq!(memory.to_vec(), b"axxd");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    /// If `offset + from.len()` exceeds the length. Nothing is written then.
    #[track_caller]
    pub fn write(&self, offset: usize, from: &[u8]) {
        self.0.write(offset, from);
    }

    /// Sets all bytes to `byte`.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// let memory = SharedMemory::new(3)?;
    /// memory.fill(b'x');
    /// assert_eq!(memory.to_vec(), b"xxx");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn fill(&self, byte: u8) {
        self.0.fill(byte);
    }

    /// Returns a copy of all bytes.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// assert_eq!(SharedMemory::new(2)?.to_vec(), [0, 0]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len()];
        self.read(0, &mut bytes);
        bytes
    }

    /// Returns an immutable copy.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// let memory = SharedMemory::copy_from_slice(b"abc")?;
    /// let sealed = memory.seal_copy()?;
    /// memory.fill(0);
    /// assert_eq!(*sealed, *b"abc");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`SharedBytes::build`].
    pub fn seal_copy(&self) -> io::Result<SharedBytes> {
        SharedBytes::build(self.len(), |bytes| self.read(0, bytes))
    }

    /// Changes the bytes of `range`, chunk by chunk: copies 64 KiB into a buffer, calls `change` with it, and copies it back.
    /// Only the last chunk may be shorter.
    ///
    /// A chunk has no particular alignment: read numbers in it with `from_ne_bytes` of `chunks_exact`. From the start of
    /// `range` on, no number of 1, 2, 4, 8 or 16 bytes is split between two chunks.
    ///
    /// Bytes that another process writes to a chunk in the meantime are overwritten. If `change` panics, that chunk and those
    /// behind it are unchanged.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// let memory = SharedMemory::copy_from_slice(b"abcd")?;
    /// memory.update(1..3, |chunk| chunk.make_ascii_uppercase());
    /// assert_eq!(memory.to_vec(), b"aBCd");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    /// If `range` exceeds the length.
    #[track_caller]
    pub fn update(&self, range: impl RangeBounds<usize>, mut change: impl FnMut(&mut [u8])) {
        self.for_each_chunk(self.check_range(range), |at, chunk| {
            change(chunk);
            self.write(at, chunk);
        });
    }

    /// Calls `look` with copies of the bytes of `range`, chunk by chunk, as [`update`](Self::update) does, and writes nothing.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// let (memory, mut sum) = (SharedMemory::copy_from_slice(&[1, 2, 3])?, 0);
    /// memory.scan(.., |chunk| sum += chunk.iter().map(|&byte| u64::from(byte)).sum::<u64>());
    /// assert_eq!(sum, 6);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    /// If `range` exceeds the length.
    #[track_caller]
    pub fn scan(&self, range: impl RangeBounds<usize>, mut look: impl FnMut(&[u8])) {
        self.for_each_chunk(self.check_range(range), |_, chunk| look(chunk));
    }

    fn for_each_chunk(&self, range: Range<usize>, mut act: impl FnMut(usize, &mut [u8])) {
        let mut buffer = vec![0; CHUNK.min(range.len())];
        for at in range.clone().step_by(CHUNK) {
            let chunk = &mut buffer[..CHUNK.min(range.end - at)];
            self.read(at, chunk);
            act(at, chunk);
        }
    }

    #[track_caller]
    fn check_range(&self, range: impl RangeBounds<usize>) -> Range<usize> {
        let length = self.len();
        let start = match range.start_bound() {
            Bound::Included(&start) => Some(start),
            Bound::Excluded(&before) => before.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.checked_add(1),
            Bound::Excluded(&end) => Some(end),
            Bound::Unbounded => Some(length),
        };
        match (start, end) {
            (Some(start), Some(end)) if start <= end && end <= length => start..end,
            _ => panic!("a range is not within the {length} bytes of the memory"),
        }
    }
}

/// The length only: the bytes may change at any time.
impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedMemory({} bytes)", self.len())
    }
}
