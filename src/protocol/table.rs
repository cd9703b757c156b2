//! The table of open calls.
//!
//! Ids count up and wrap. An id in use is skipped, so no id is given twice while its answer may come.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

/// Number of calls for which memory is kept when the table empties.
const KEPT: usize = 4096;

/// Calls by id.
#[derive(Debug)]
pub(crate) struct CallTable<S> {
    slots: HashMap<u32, S, BuildHasherDefault<IdHasher>>,
    next: u32,
    largest: u32,
}

/// A hash that keeps neighbouring ids together. `HashMap` takes the bucket from the lowest bits and a tag from the
/// highest seven, so calls made one after the other lie in neighbouring buckets. With 200,000 open calls their buckets
/// are then in the cache.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, _: &[u8]) {
        unreachable!("an id is a number");
    }
    fn write_u32(&mut self, id: u32) {
        self.0 = u64::from(id) | u64::from(id) << 57;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

impl<S> CallTable<S> {
    /// A table whose ids go from 1 to `largest`.
    pub(crate) fn new(largest: u32) -> Self {
        Self {
            slots: HashMap::default(),
            next: 1,
            largest,
        }
    }

    /// Inserts the call that `slot` makes for its id, and returns the id.
    pub(crate) fn insert(&mut self, slot: impl FnOnce(u32) -> S) -> u32 {
        loop {
            let id = self.next;
            self.next = if id == self.largest { 1 } else { id + 1 };
            if let Entry::Vacant(place) = self.slots.entry(id) {
                place.insert(slot(id));
                return id;
            }
        }
    }

    /// Returns the call of this id.
    pub(crate) fn get(&self, id: u32) -> Option<&S> {
        self.slots.get(&id)
    }

    /// Returns the call of this id.
    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut S> {
        self.slots.get_mut(&id)
    }

    /// Removes the call of this id. Shrinks a table that is mostly empty.
    pub(crate) fn remove(&mut self, id: u32) -> Option<S> {
        let slot = self.slots.remove(&id);
        if self.slots.capacity() > KEPT && self.slots.len() < self.slots.capacity() / 16 {
            self.slots.shrink_to(2 * self.slots.len());
        }
        slot
    }

    /// Returns all ids, in no order.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.slots.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl<S> CallTable<S> {
        pub(crate) fn start_at(&mut self, id: u32) {
            self.next = id;
        }

        pub(crate) fn len(&self) -> usize {
            self.slots.len()
        }
    }

    #[test]
    fn ids_wrap_and_pass_over_those_in_use() {
        let mut table = CallTable::new(40);
        let held = table.insert(|_| "held");
        assert_eq!(held, 1);
        table.start_at(39);
        let ids: Vec<_> = (0..4).map(|_| table.insert(|_| "next")).collect();
        assert_eq!(ids, [39, 40, 2, 3]);
        assert_eq!(table.get(1), Some(&"held"));
    }

    #[test]
    fn growing_keeps_every_call() {
        let mut table = CallTable::new(u32::MAX);
        table.start_at(u32::MAX - 500);
        let ids: Vec<_> = (0..1000).map(|n| (table.insert(|_| n), n)).collect();
        assert!(
            ids.iter()
                .all(|(id, n)| table.get(*id) == Some(n) && *id != 0)
        );
        assert!(ids.iter().all(|(id, n)| table.remove(*id) == Some(*n)));
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn an_emptied_one_gives_its_memory_back() {
        let mut table = CallTable::new(u32::MAX);
        let ids: Vec<_> = (0..100_000).map(|n| table.insert(|_| n)).collect();
        let kept = ids[70_000];
        for id in ids.iter().filter(|id| **id != kept) {
            table.remove(*id).unwrap();
            assert!(table.get(kept).is_some());
        }
        let capacity = table.slots.capacity();
        assert!(capacity <= 2 * KEPT, "{capacity}");
        assert_eq!(table.remove(kept), Some(70_000));
    }
}
