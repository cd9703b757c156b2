use std::fmt;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::os::fd::BorrowedFd;

use super::{SharedBytes, registry};
use crate::sys::{Lasting, SharedMemory};

/// How much is worked on at once: so much stays in a cache.
const CHUNK: usize = 64 << 10;

impl SharedMemory {
    /// So many zeros; also none.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// let memory = SharedMemory::new(1000)?;
    /// assert_eq!(memory.to_vec(), [0; 1000]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no room or no descriptor left for it. The system finds the memory when the bytes are first touched, as
    /// always.
    pub fn new(length: usize) -> io::Result<Self> {
        Ok(Self(registry::made(Lasting::create(length)?)))
    }

    /// As many bytes as these, and at first the same.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// let memory = SharedMemory::copy_from_slice(b"abc")?;
    /// assert_eq!(memory.to_vec(), b"abc");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// As those of [`new`](Self::new).
    pub fn copy_from_slice(bytes: &[u8]) -> io::Result<Self> {
        let memory = Self::new(bytes.len())?;
        memory.write(0, bytes);
        Ok(memory)
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.0.file()
    }

    /// How many bytes there are, which never changes.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// assert_eq!(SharedMemory::new(5)?.len(), 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// assert!(SharedMemory::new(0)?.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the two are handles on the same memory: what is written to one is read from the other.
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

    /// Copies from the memory, from the byte `offset` on, as many as fit.
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
    /// If the memory ends before that, as with slices.
    #[track_caller]
    pub fn read(&self, offset: usize, to: &mut [u8]) {
        self.0.read(offset, to);
    }

    /// Copies to the memory, to the byte `offset` and on.
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
    /// If the memory ends before that, as with slices. Then nothing has been written.
    #[track_caller]
    pub fn write(&self, offset: usize, from: &[u8]) {
        self.0.write(offset, from);
    }

    /// Makes all bytes the same.
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

    /// A copy of all bytes.
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

    /// A copy that nobody can change any more.
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
    /// As those of [`SharedBytes::build`].
    pub fn seal_copy(&self) -> io::Result<SharedBytes> {
        SharedBytes::build(self.len(), |bytes| self.read(0, bytes))
    }

    /// Works on these bytes in place: each chunk of 64 KiB is copied into a buffer, which stays in a cache, changed
    /// there, and copied back. Only the last chunk may be shorter.
    ///
    /// What others write to a chunk meanwhile is written over. If `change` panics, the chunks before are changed, and
    /// this one and those behind it are not.
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
    /// If the range is not within the memory, as with slices.
    #[track_caller]
    pub fn update(&self, range: impl RangeBounds<usize>, mut change: impl FnMut(&mut [u8])) {
        self.by_chunks(self.within(range), |at, chunk| {
            change(chunk);
            self.write(at, chunk);
        });
    }

    /// Looks at these bytes, chunk by chunk, as [`update`](Self::update) does; nothing is written.
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
    /// If the range is not within the memory, as with slices.
    #[track_caller]
    pub fn scan(&self, range: impl RangeBounds<usize>, mut look: impl FnMut(&[u8])) {
        self.by_chunks(self.within(range), |_, chunk| look(chunk));
    }

    fn by_chunks(&self, range: Range<usize>, mut act: impl FnMut(usize, &mut [u8])) {
        let mut buffer = vec![0; CHUNK.min(range.len())];
        for at in range.clone().step_by(CHUNK) {
            let chunk = &mut buffer[..CHUNK.min(range.end - at)];
            self.read(at, chunk);
            act(at, chunk);
        }
    }

    #[track_caller]
    fn within(&self, range: impl RangeBounds<usize>) -> Range<usize> {
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

/// How many bytes there are: they may change while one looks.
impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedMemory({} bytes)", self.len())
    }
}
