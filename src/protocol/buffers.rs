//! Buffers that were used and will be used again.
//!
//! What large messages cost is mostly page faults: an allocator gives the
//! memory back to the system and takes it again at every call. So a pool
//! keeps a few buffers, among them large ones, [`LARGEST`] bytes in all, as long
//! as they are used: one that has been far too large [`PATIENCE`] times in a row
//! is let go.

/// How many bytes are kept at most.
const LARGEST: usize = 80 << 20;
/// A buffer of up to this many bytes is always kept.
pub(crate) const SMALL: usize = 64 << 10;
/// How often one may be far too large.
const PATIENCE: u8 = 16;
/// How many buffers are kept.
const COUNT: usize = 3;

/// Buffers to be used again. Whoever needs one is handed the pool of its thread.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    buffers: Vec<Vec<u8>>,
    /// How often in a row a large one was put back hardly used.
    idle: u8,
}

impl BufferPool {
    pub(crate) const fn new() -> Self {
        Self {
            buffers: Vec::new(),
            idle: 0,
        }
    }

    /// An empty buffer, with room if there is one: the one that was put last.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    /// Keeps a buffer for later, if it is worth it: `used` bytes of it were used.
    pub(crate) fn put(&mut self, mut buffer: Vec<u8>, used: usize) {
        let room = buffer.capacity();
        if room == 0 || room > LARGEST {
            return;
        }
        buffer.clear();
        let large = room > SMALL;
        if large && used >= room / 8 {
            self.idle = 0;
        } else {
            self.idle = self.idle.saturating_add(1);
            if self.idle == PATIENCE {
                self.buffers.retain(|kept| kept.capacity() <= SMALL);
            }
        }
        let kept: usize = self.buffers.iter().map(Vec::capacity).sum();
        let keeps_large = self.idle < PATIENCE && kept + room <= LARGEST;
        if self.buffers.len() < COUNT && (!large || keeps_large) {
            self.buffers.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_used(pool: &mut BufferPool, room: usize, used: usize) {
        pool.put(Vec::with_capacity(room), used);
    }

    #[test]
    fn a_large_buffer_is_kept_while_it_is_used() {
        let pool = &mut BufferPool::new();
        put_used(pool, 1 << 20, 1 << 20);
        let buffer = pool.take();
        assert!(buffer.is_empty() && buffer.capacity() == 1 << 20);
        put_used(pool, 1 << 20, 900_000);
        for _ in 0..PATIENCE {
            put_used(pool, 100, 40);
            pool.take();
        }
        let kept = pool.take().capacity();
        assert_eq!(kept, 0, "small ones were used for so long");
    }

    #[test]
    fn a_large_buffer_that_is_hardly_used_goes() {
        let pool = &mut BufferPool::new();
        let mut room = 1 << 20;
        for _ in 0..=PATIENCE {
            put_used(pool, room, 40);
            room = pool.take().capacity();
        }
        assert_eq!(room, 0);
    }

    #[test]
    fn what_is_kept_has_limits() {
        for (count, room, kept) in [(1, LARGEST + 1, 0), (3, LARGEST / 2, 2), (10, 100, COUNT)] {
            let pool = &mut BufferPool::new();
            (0..count).for_each(|_| put_used(pool, room, room / 2));
            assert_eq!(pool.buffers.len(), kept);
        }
    }
}
