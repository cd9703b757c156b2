//! Tells a process from the copies that `fork` makes of it.
//!
//! A forked copy has none of the original's threads, and shares its sockets and epoll sets. So neither may use what the
//! other has created. A page that the kernel wipes in copies (`MADV_WIPEONFORK`, Linux 4.14) tells them apart, also copies
//! by a raw `clone`. A query costs one load.

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous};
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// The length of the mapping: one page.
const LENGTH: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// The address of this process's number, which is zero in a copy that has not taken one. Null before the first query.
static NUMBER: AtomicPtr<AtomicU32> = AtomicPtr::new(std::ptr::null_mut());
/// The last number that was taken. Copies inherit it, so no process has the number of an ancestor.
static LAST: AtomicU32 = AtomicU32::new(0);

/// Returns a number that differs from those of all processes that this one was forked from. Every call queries it.
#[inline]
pub(crate) fn fork_id() -> u32 {
    let number = NUMBER.load(Ordering::Acquire);
    // SAFETY: only `find` stores pointers here, to a page that is never unmapped.
    match unsafe { number.as_ref() }.map(|number| number.load(Ordering::Acquire)) {
        None | Some(0) => find(),
        Some(known) => known,
    }
}

#[cold]
fn find() -> u32 {
    static PAGE: OnceLock<Option<&'static AtomicU32>> = OnceLock::new();
    // Without such a page the process id serves: it can repeat.
    let Some(number) = PAGE.get_or_init(map) else {
        return std::process::id();
    };
    NUMBER.store(std::ptr::from_ref(*number).cast_mut(), Ordering::Release);
    name(number)
}

fn name(number: &AtomicU32) -> u32 {
    let next = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    match number.compare_exchange(0, next, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => next,
        Err(known) => known,
    }
}

fn map() -> Option<&'static AtomicU32> {
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_ANONYMOUS;
    let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new mapping at an address that the kernel chooses.
    let page = unsafe { mmap_anonymous(None, LENGTH, rights, flags) }.ok()?;
    // SAFETY: the advice is for the page that was just mapped, and changes nothing in this process.
    unsafe { madvise(page, LENGTH.get(), MmapAdvise::MADV_WIPEONFORK) }.ok()?;
    // SAFETY: the page is never unmapped, aligned, and zero, which is a valid number; all accesses are atomic.
    Some(unsafe { page.cast::<AtomicU32>().as_ref() })
}

/// A value per process: a copy made by `fork` starts with a new one, whichever locks were held in the original.
#[derive(Debug)]
pub(crate) struct PerProcess<T: 'static>(AtomicPtr<(u32, T)>);

impl<T: Default + Sync> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// Returns the value of this process. That of the original is leaked.
    pub(crate) fn get(&self) -> &'static T {
        let process = fork_id();
        loop {
            let old = self.0.load(Ordering::Acquire);
            // SAFETY: only `renew` stores pointers here, to values that are never freed.
            if let Some((owner, value)) = unsafe { old.as_ref() }
                && *owner == process
            {
                return value;
            }
            self.renew(old, process);
        }
    }

    fn renew(&self, old: *mut (u32, T), process: u32) {
        let new = NonNull::from(Box::leak(Box::new((process, T::default()))));
        let put = self
            .0
            .compare_exchange(old, new.as_ptr(), Ordering::AcqRel, Ordering::Acquire);
        if put.is_err() {
            // SAFETY: it was just leaked, and not shared.
            drop(unsafe { Box::from_raw(new.as_ptr()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sync::Mutex;

    #[test]
    fn a_value_is_made_once_and_stays() {
        static VALUE: PerProcess<Mutex<u32>> = PerProcess::new();
        *VALUE.get().lock() += 1;
        let other = std::thread::spawn(|| *VALUE.get().lock());
        assert_eq!(other.join().unwrap(), 1);
        assert_eq!(fork_id(), fork_id());
    }
}
