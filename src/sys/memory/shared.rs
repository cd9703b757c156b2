//! [`SharedMemory`], with its two unsafe methods, which lend the memory itself. The safe methods are in `memory/shared_memory.rs`.

use super::SharedMap;
use std::sync::Arc;

/// Memory of a fixed size that several processes read and write: for large buffers that both sides modify.
///
/// A worker that takes or returns `SharedMemory`, alone or inside another value, in a call, a result or an event, in any
/// format, has the same memory. A clone is another handle to it, and so is the value that comes back:
///
/// ```
/// use offspring::{SharedMemory, worker};
///
/// fn invert(memory: SharedMemory) -> SharedMemory {
///     memory.update(.., |chunk| chunk.iter_mut().for_each(|byte| *byte = !*byte));
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
/// # Visibility of writes
///
/// The worker sees all writes from before the call was made, and the caller sees all writes of the worker from before it
/// answered. In between, each side sees the other's writes at some time and in any order. That is memory-safe: the methods
/// copy word by word, and a read that overlaps a write returns a mixture. So check data only *after* it was copied. The
/// two `unsafe` methods lend the memory itself.
///
/// **Over a link that carries no file descriptors** (a command, ssh) **the bytes are sent, and the worker has a copy**. The
/// caller sees the worker's writes only if the worker returns the memory, which then is another memory again. A worker that
/// returns its argument works over every link, if the caller continues with the value that comes back, as above.
/// [`is_same`](Self::is_same) tells the two apart.
///
/// # When it pays
///
/// With the pages mapped on both sides, a call costs the same for any size, and only reads and writes touch the bytes.
/// With copying in and out (`cargo bench -p benches --bench memory`, a busy machine of two CPUs): it takes
/// two to three times as long as [`Bytes`](crate::Bytes) at 1 KiB, as long at 64 to 128 KiB, 0.6 at 256 KiB, a third
/// from 1 to 16 MiB, and an eighth at 64 MiB; and up to twice as long as a bare loop over a file that stays mapped.
///
/// These figures need memory that *stays* mapped. In the caller it does as long as a handle exists: so lend it
/// (`rpc.call(&memory)`), and keep the value that comes back. A worker drops its arguments, but keeps the last four
/// memories that it was sent mapped. So a worker holds at most four memories, and their descriptors, beyond its handles.
///
/// # Alignment
///
/// In each process the first byte lies at the start of a page: aligned for any number and any SIMD vector.
///
/// # What it takes
///
/// A file descriptor as long as this process has a handle, and another one while it is sent. The memory is freed when the
/// last process has dropped it. A limit of the file size ([`Limits`](crate::Limits)) applies to it. A file from another
/// process is mapped only if it is a memory file whose size cannot change; any other is an error of that call, result or
/// event.
#[derive(Clone)]
pub struct SharedMemory(pub(crate) Arc<SharedMap>);

impl SharedMemory {
    /// Returns the bytes in place, without a copy.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// let memory = SharedMemory::copy_from_slice(b"abc")?;
    /// // SAFETY: no other process has this memory, and no other handle exists.
    /// assert_eq!(unsafe { memory.as_slice() }, b"abc");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Safety
    /// As long as the slice is in use, no other thread and no other process may write to the memory. A child that worked
    /// on it has answered, and is trusted not to write any more.
    pub unsafe fn as_slice(&self) -> &[u8] {
        let memory = &self.0;
        // SAFETY: this number of bytes is mapped as long as the handle exists; the caller promises that they do not
        // change.
        unsafe { std::slice::from_raw_parts(memory.map.start.cast().as_ptr(), memory.len()) }
    }

    /// Returns the bytes in place, to be changed without a copy.
    ///
    /// ```
    /// # use offspring::SharedMemory;
    /// let mut memory = SharedMemory::copy_from_slice(b"cab")?;
    /// // SAFETY: no other process has this memory, and no other handle exists.
    /// unsafe { memory.as_mut_slice() }.sort();
    /// assert_eq!(memory.to_vec(), b"abc");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Safety
    /// As long as the slice is in use, the memory may not be read or written through another handle, such as a clone, by
    /// another thread, or by another process. A child that worked on it has answered, and is trusted not to use it any
    /// more.
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        let memory = &self.0;
        // SAFETY: this number of bytes is mapped writable as long as the handle exists; the caller promises exclusive
        // access.
        unsafe { std::slice::from_raw_parts_mut(memory.map.start.cast().as_ptr(), memory.len()) }
    }
}
