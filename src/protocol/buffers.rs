//! A pool of buffers.
//!
//! Most of the cost of a large message is page faults: without a pool, the allocator returns the memory to the system
//! and maps it again at every call. The pool drops its large buffers when they were hardly used [`PATIENCE`] times in a
//! row.

/// Maximum size of all buffers in the pool, in bytes.
const LARGEST: usize = 80 << 20;
/// Maximum size of a buffer that the pool keeps whatever its use, in bytes.
pub(crate) const SMALL: usize = 64 << 10;
/// Number of hardly used buffers in a row after which large ones are dropped.
const PATIENCE: u8 = 16;
/// Maximum number of buffers in the pool.
const COUNT: usize = 3;

/// Buffers for reuse. Each thread has a pool, and hands it to the methods that need a buffer.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    buffers: Vec<Vec<u8>>,
    /// Number of buffers in a row that were small, or of which less than an eighth was used.
    idle: u8,
}

impl BufferPool {
    pub(crate) const fn new() -> Self {
        Self {
            buffers: Vec::new(),
            idle: 0,
        }
    }

    /// Takes the buffer that was put last, or an empty one.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    /// Puts `buffer`, of which `used` bytes were used, into the pool, or drops it.
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
        assert_eq!(kept, 0, "only small buffers were used for a while");
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
