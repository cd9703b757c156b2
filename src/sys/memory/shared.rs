//! [`SharedMemory`], with the methods that lend the memory itself: what the compiler cannot check is in this folder. The
//! other methods are in `memory/lasting.rs`.

use super::Lasting;
use std::sync::Arc;

/// Memory of a fixed size that several processes read and write: for large data that go back and forth.
///
/// A worker that takes or returns `SharedMemory`, alone or as a part of something else, in a call, a result or an event,
/// in any format, has the very same memory. A clone is another handle on it, and so is what comes back:
///
/// ```
/// use offspring::{SharedMemory, worker};
///
/// fn invert(memory: SharedMemory) -> SharedMemory {
///     memory.update(.., |chunk| chunk.iter_mut().for_each(|octet| *octet = !*octet));
///     memory
/// }
/// worker!(INVERT: fn(SharedMemory) -> SharedMemory = invert);
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     let rpc = INVERT.spawn()?;
///     let mut memory = SharedMemory::copy_from_slice(&[0x0f; 1 << 20])?;
///     for _ in 0..3 {
///         // Lent, so it stays mapped here; what comes back is `memory` itself.
///         memory = rpc.call(&memory).wait()?;
///     }
///     assert_eq!(memory.to_vec(), [0xf0; 1 << 20]);
///     Ok(())
/// }
/// ```
///
/// # Who sees what
///
/// What was written before a call is made is seen by the worker, and what the worker wrote before it answered is seen by
/// the caller. Between that, both see each other's writes at some time, in any order. Nothing is unsafe about that: the
/// methods copy, word by word, and what is read while somebody else writes is a mixture. So one looks at data first
/// *after* it was copied, when nobody can change it any more. The two `unsafe` methods lend the memory itself.
///
/// **Where descriptors cannot go** (a command, ssh) **the octets are sent, and the worker has a copy**: what it writes is
/// seen by the caller only if it returns the memory, and then as another memory again. A worker that returns what it was
/// given works over every link, if the caller goes on with what comes back, as above. [`is_same`](Self::is_same) tells
/// the two apart.
///
/// # When it pays
///
/// With the pages mapped on both sides, a call costs the same whatever the size, and the octets are touched only by who
/// reads or writes them. With copying in and out (`cargo bench --bench memory`, a busy machine of two CPUs): it takes
/// two to three times as long as [`Bytes`](crate::Bytes) at 1 KiB, as long at 64 to 128 KiB, 0.6 at 256 KiB, a third
/// from 1 to 16 MiB, and an eighth at 64 MiB; and up to twice as long as a bare loop over a file that stays mapped.
///
/// For that the memory must *stay* mapped. Here it does as long as there is a handle: so lend it (`rpc.call(&memory)`),
/// and keep what comes back. A worker keeps the last four that it was sent, although it drops its arguments. So what a
/// worker holds beyond its handles is at most four memories and their descriptors; what makes it more is that they are
/// large.
///
/// # Alignment
///
/// In each process the first byte lies at the start of a page, unless there is none: aligned for any number or vector of
/// numbers.
///
/// # What it takes
///
/// A descriptor, for as long as there is a handle in this process; another one while it is sent. The memory is given
/// back when the last process has let go of it. Where a process may not write files of that size
/// ([`Limits`](crate::Limits)), it may not make these either. What comes from another process is mapped only if it is a memory file
/// of which the size cannot change; all else is an error of that call, result or event.
#[derive(Clone)]
pub struct SharedMemory(pub(crate) Arc<Lasting>);

impl SharedMemory {
    /// The octets where they are, without a copy.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// let memory = SharedMemory::copy_from_slice(b"abc")?;
    /// // SAFETY: this memory has been sent to nobody, and there is no other handle.
    /// assert_eq!(unsafe { memory.as_slice() }, b"abc");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Safety
    /// As long as the slice is in use, nobody may write to the memory: no other thread, and no other process that has
    /// it. A child that works on it has answered, and is trusted not to go on all the same.
    pub unsafe fn as_slice(&self) -> &[u8] {
        let memory = &self.0;
        // SAFETY: so many octets are mapped there as long as there is a handle; the caller promises that they do not
        // change.
        unsafe { std::slice::from_raw_parts(memory.map.start.cast().as_ptr(), memory.len()) }
    }

    /// The octets where they are, to be changed without a copy.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// let mut memory = SharedMemory::copy_from_slice(b"cab")?;
    /// // SAFETY: this memory has been sent to nobody, and there is no other handle.
    /// unsafe { memory.as_mut_slice() }.sort();
    /// assert_eq!(memory.to_vec(), b"abc");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Safety
    /// As long as the slice is in use, nobody else may read or write the memory: not through another handle, such as a
    /// clone, no other thread, and no other process that has it. A child that works on it has answered, and is trusted
    /// not to go on all the same.
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        let memory = &self.0;
        // SAFETY: so many octets are mapped there, for writing too, as long as there is a handle; the caller promises
        // that nobody else uses them.
        unsafe { std::slice::from_raw_parts_mut(memory.map.start.cast().as_ptr(), memory.len()) }
    }
}
