//! The methods of [`SharedMemory`] that lend the memory itself: what the compiler cannot check is in this folder.

use crate::memory::SharedMemory;

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
        let memory = self.mapping();
        // SAFETY: so many octets are mapped there as long as there is a handle; the caller promises that they do not
        // change.
        unsafe { std::slice::from_raw_parts(memory.octets().as_ptr(), memory.len()) }
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
        let memory = self.mapping();
        // SAFETY: so many octets are mapped there, for writing too, as long as there is a handle; the caller promises
        // that nobody else uses them.
        unsafe { std::slice::from_raw_parts_mut(memory.octets().as_ptr(), memory.len()) }
    }
}
