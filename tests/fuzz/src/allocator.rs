//! An allocator that counts what is allocated at once, by each thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    /// How much is allocated, and the most that was.
    static COUNTS: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(change: isize) {
    let _ = COUNTS.try_with(|counts| {
        let (now, most) = counts.get();
        let now = now + change;
        counts.set((now, most.max(now)));
    });
}

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller's promises.
        unsafe { System.realloc(place, layout, size) }
    }
}

/// Returns how many bytes more than before were allocated at once in this thread.
pub(crate) fn peak_of(body: impl FnOnce()) -> usize {
    let (before, _) = COUNTS.get();
    COUNTS.set((before, before));
    body();
    let (_, most) = COUNTS.get();
    (most - before) as usize
}
