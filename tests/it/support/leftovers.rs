//! Memory and mappings that are left in a process that has done much.

use std::fs;

use super::own_memory;

/// Returns the resident memory of this process, without what the allocator keeps for later.
pub(crate) fn trimmed_memory() -> usize {
    // SAFETY: it only gives free memory back.
    unsafe { libc::malloc_trim(0) };
    own_memory()
}

/// Returns the number of this process's mappings.
pub(crate) fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .count()
}

/// Returns the number of this process's mappings of memory files.
pub(crate) fn memory_files() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("memfd")).count()
}
