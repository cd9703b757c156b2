//! Which process of a line of forks this is.
//!
//! A process that `fork` copies has none of the original's threads, and shares its sockets and epoll sets. So what one
//! process made must not be touched by the other. A page that the kernel wipes in copies (`MADV_WIPEONFORK`, Linux 4.14)
//! tells them apart, also copies that a raw `clone` makes; to ask costs a load.

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous};
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// What is mapped: one page.
const LENGTH: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Where the number of this process is; zero in a copy that has not given itself one. Null before it is first asked for.
static NUMBER: AtomicPtr<AtomicU32> = AtomicPtr::new(std::ptr::null_mut());
/// The last number that was given. Copies inherit it, so no number is given twice in a line.
static LAST: AtomicU32 = AtomicU32::new(0);

/// A number that this process shares with none that it was copied from, and with no copy. Asked for by every call.
#[inline]
pub(crate) fn process() -> u32 {
    let number = NUMBER.load(Ordering::Acquire);
    // SAFETY: only `find` puts pointers here, to what lives for ever.
    match unsafe { number.as_ref() }.map(|number| number.load(Ordering::Acquire)) {
        None | Some(0) => find(),
        Some(known) => known,
    }
}

#[cold]
fn find() -> u32 {
    static PAGE: OnceLock<Option<&'static AtomicU32>> = OnceLock::new();
    // Without such a page the process id is the next best.
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
    // SAFETY: a new mapping at a place that the kernel chooses, which is never unmapped.
    let page = unsafe { mmap_anonymous(None, LENGTH, rights, flags) }.ok()?;
    // SAFETY: the advice is for the page that was just mapped, and changes nothing here.
    unsafe { madvise(page, LENGTH.get(), MmapAdvise::MADV_WIPEONFORK) }.ok()?;
    // SAFETY: the page is mapped for good, aligned, and zero, which is a valid number; all use is atomic.
    Some(unsafe { page.cast::<AtomicU32>().as_ref() })
}

/// A value of each process: a copy made by `fork` starts with a new one, whatever locks were held in the original.
#[derive(Debug)]
pub(crate) struct PerProcess<T: 'static>(AtomicPtr<(u32, T)>);

impl<T: Default + Sync> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// The value of this process. That of the original is left as it is, for good.
    pub(crate) fn get(&self) -> &'static T {
        let process = process();
        loop {
            let old = self.0.load(Ordering::Acquire);
            // SAFETY: only `renew` puts pointers here, to what is never freed.
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
            // SAFETY: it was just leaked, and nobody has seen it.
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
        assert_eq!(process(), process());
    }
}
