//! Buffers that a thread has used and will use again.
//!
//! What large messages cost is mostly page faults: an allocator gives the
//! memory back to the system and takes it again at every call. So a thread
//! keeps a few buffers, among them large ones, [`LARGEST`] octets in all; but only
//! while they are used: one that has been far too large [`PATIENCE`] times in a row
//! is let go.

use std::cell::RefCell;

/// So many octets are kept at most.
pub(crate) const LARGEST: usize = 80 << 20;
/// One up to this is always kept.
pub(crate) const SMALL: usize = 64 << 10;
/// How often one may be far too large.
const PATIENCE: u8 = 16;
/// How many a thread keeps.
const COUNT: usize = 3;

struct Shelf {
    buffers: Vec<Vec<u8>>,
    /// How often in a row a large one was put back hardly used.
    idle: u8,
}

thread_local! {
    static SHELF: RefCell<Shelf> = const {
        RefCell::new(Shelf {
            buffers: Vec::new(),
            idle: 0,
        })
    };
}

/// An empty buffer, with room if there is one: the one that was put last.
pub(crate) fn take() -> Vec<u8> {
    let taken = SHELF.try_with(|shelf| shelf.borrow_mut().buffers.pop());
    taken.ok().flatten().unwrap_or_default()
}

/// Keeps a buffer for later, if it is worth it: so many octets were used.
pub(crate) fn put(mut buffer: Vec<u8>, used: usize) {
    let room = buffer.capacity();
    if room == 0 || room > LARGEST {
        return;
    }
    buffer.clear();
    // A thread that is ending keeps nothing.
    let _ = SHELF.try_with(|shelf| shelf.borrow_mut().put(buffer, used));
}

impl Shelf {
    fn put(&mut self, buffer: Vec<u8>, used: usize) {
        let large = buffer.capacity() > SMALL;
        if large && used >= buffer.capacity() / 8 {
            self.idle = 0;
        } else {
            self.idle = self.idle.saturating_add(1);
            if self.idle == PATIENCE {
                self.buffers.retain(|kept| kept.capacity() <= SMALL);
            }
        }
        if self.buffers.len() < COUNT && (!large || self.takes(buffer.capacity())) {
            self.buffers.push(buffer);
        }
    }

    /// A large one may be kept.
    fn takes(&self, room: usize) -> bool {
        let kept: usize = self.buffers.iter().map(Vec::capacity).sum();
        self.idle < PATIENCE && kept + room <= LARGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_used(room: usize, used: usize) {
        put(Vec::with_capacity(room), used);
    }

    #[test]
    fn a_large_buffer_is_kept_while_it_is_used() {
        put_used(1 << 20, 1 << 20);
        let buffer = take();
        assert!(buffer.is_empty() && buffer.capacity() == 1 << 20);
        put_used(1 << 20, 900_000);
        for _ in 0..PATIENCE {
            put_used(100, 40);
            take();
        }
        assert_eq!(take().capacity(), 0, "small ones were used for so long");
    }

    #[test]
    fn a_large_buffer_that_is_hardly_used_goes() {
        let mut room = 1 << 20;
        for _ in 0..=PATIENCE {
            put_used(room, 40);
            room = take().capacity();
        }
        assert_eq!(room, 0);
    }

    #[test]
    fn huge_ones_are_not_kept() {
        put_used(LARGEST + 1, 10);
        assert_eq!(take().capacity(), 0);
    }

    #[test]
    fn many_large_ones_are_not_kept() {
        (0..3).for_each(|_| put_used(LARGEST / 2, LARGEST / 2));
        let kept = std::iter::repeat_with(take).take_while(|buffer| buffer.capacity() > 0);
        assert_eq!(kept.count(), 2);
    }

    #[test]
    fn few_are_kept() {
        (0..10).for_each(|_| put_used(100, 50));
        let kept = std::iter::repeat_with(take).take_while(|buffer| buffer.capacity() > 0);
        assert_eq!(kept.count(), COUNT);
    }
}
