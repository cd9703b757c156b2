//! The table of open calls: a ring indexed by the low bits of the id.
//!
//! Ids count up and wrap; one that is taken is passed over, so an id is never
//! given twice while its answer may still come. Ids that follow each other never
//! collide, so the ring may be [nearly](Table::is_full) full; what lingers is
//! passed over. It grows by doubling: ids that did not collide before do not
//! collide after.
//! It shrinks once it is nearly empty, to the smallest size without collisions.

/// A ring is no smaller.
const SMALLEST: usize = 16;
/// One up to this is never too large.
const KEPT: usize = 4096;

/// Calls by id.
#[derive(Debug)]
pub(crate) struct Table<S> {
    slots: Box<[Option<(u32, S)>]>,
    used: usize,
    /// How many were taken out since the size was thought over.
    removed: usize,
    next: u32,
    largest: u32,
}

impl<S> Table<S> {
    /// A table whose ids go from 1 to `largest`.
    pub(crate) fn new(largest: u32) -> Self {
        Self {
            slots: Self::ring(SMALLEST),
            used: 0,
            removed: 0,
            next: 1,
            largest,
        }
    }

    fn ring(size: usize) -> Box<[Option<(u32, S)>]> {
        std::iter::repeat_with(|| None).take(size).collect()
    }

    /// Takes a call in and gives it an id.
    ///
    /// A free slot is at most as many steps away as there are calls, and hardly
    /// ever more than a few.
    pub(crate) fn insert(&mut self, slot: S) -> u32 {
        self.insert_with(|_| slot)
    }

    /// The same, with what is made for the id.
    pub(crate) fn insert_with(&mut self, slot: impl FnOnce(u32) -> S) -> u32 {
        if self.is_full() {
            self.grow();
        }
        while self.slots[self.index(self.next)].is_some() {
            self.step();
        }
        let id = self.next;
        self.step();
        let index = self.index(id);
        self.slots[index] = Some((id, slot(id)));
        self.used += 1;
        id
    }

    /// Seven eighths are used.
    fn is_full(&self) -> bool {
        8 * self.used >= 7 * self.slots.len()
    }

    /// The call of this id.
    pub(crate) fn get(&self, id: u32) -> Option<&S> {
        let (known, slot) = self.slots[self.index(id)].as_ref()?;
        (*known == id).then_some(slot)
    }

    /// The call of this id.
    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut S> {
        let index = self.index(id);
        let (known, slot) = self.slots[index].as_mut()?;
        (*known == id).then_some(slot)
    }

    /// Takes the call of this id out.
    pub(crate) fn remove(&mut self, id: u32) -> Option<S> {
        self.remove_if(id, |_| true)
    }

    /// Takes the call of this id out, if it is such a one.
    pub(crate) fn remove_if(&mut self, id: u32, test: impl FnOnce(&S) -> bool) -> Option<S> {
        let index = self.index(id);
        let (_, slot) = self.slots[index].take_if(|(known, slot)| *known == id && test(slot))?;
        self.count_removed();
        Some(slot)
    }

    /// Takes something out of the call of this id; if there is such, the rest of
    /// it goes, without being moved.
    pub(crate) fn take_from<T>(
        &mut self,
        id: u32,
        take: impl FnOnce(&mut S) -> Option<T>,
    ) -> Option<T> {
        let index = self.index(id);
        let (known, slot) = self.slots[index].as_mut()?;
        let taken = if *known == id { take(slot) } else { None }?;
        self.slots[index] = None;
        self.count_removed();
        Some(taken)
    }

    /// All ids, in no order.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.slots.iter().flatten().map(|(id, _)| *id).collect()
    }

    fn index(&self, id: u32) -> usize {
        id as usize & (self.slots.len() - 1)
    }

    fn step(&mut self) {
        self.next = if self.next == self.largest {
            1
        } else {
            self.next + 1
        };
    }

    /// Doubles in place: large memory is then not copied, and not taken anew.
    fn grow(&mut self) {
        let size = self.slots.len();
        let mut slots = std::mem::take(&mut self.slots).into_vec();
        slots.reserve_exact(size);
        slots.resize_with(2 * size, || None);
        let (old, new) = slots.split_at_mut(size);
        for (from, to) in old.iter_mut().zip(new) {
            let moves = |(id, _): &(u32, S)| *id as usize & size != 0;
            if from.as_ref().is_some_and(moves) {
                std::mem::swap(from, to);
            }
        }
        self.slots = slots.into_boxed_slice();
        self.removed = 0;
    }

    fn resize(&mut self, size: usize) {
        let old = std::mem::replace(&mut self.slots, Self::ring(size));
        self.removed = 0;
        for (id, slot) in old.into_iter().flatten() {
            let index = self.index(id);
            self.slots[index] = Some((id, slot));
        }
    }

    fn count_removed(&mut self) {
        self.used -= 1;
        self.removed += 1;
        if self.slots.len() > KEPT {
            self.shrink();
        }
    }

    /// Thinks the size over, once in so many removals that it costs nothing.
    fn shrink(&mut self) {
        let size = self.slots.len();
        if self.used > size / 16 || self.removed < size / 4 && self.used > 0 {
            return;
        }
        self.removed = 0;
        let sizes = [SMALLEST, size / 8, size / 4, size / 2];
        let fits = sizes.into_iter().find(|size| self.fits(*size));
        if let Some(size) = fits {
            self.resize(size);
        }
    }

    /// No two would have the same place in a ring of this size.
    fn fits(&self, size: usize) -> bool {
        if 2 * self.used > size {
            return false;
        }
        let mut taken = vec![false; size];
        let ids = self.slots.iter().flatten();
        ids.map(|(id, _)| *id as usize & (size - 1))
            .all(|place| !std::mem::replace(&mut taken[place], true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl<S> Table<S> {
        pub(crate) fn start_at(&mut self, id: u32) {
            self.next = id;
        }

        pub(crate) fn len(&self) -> usize {
            self.used
        }
    }

    #[test]
    fn ids_wrap_and_pass_over_those_in_use() {
        let mut table = Table::new(40);
        let held = table.insert("held");
        assert_eq!(held, 1);
        table.start_at(39);
        let ids: Vec<_> = (0..4).map(|_| table.insert("next")).collect();
        assert_eq!(ids, [39, 40, 2, 3]);
        assert_eq!(table.get(1), Some(&"held"));
    }

    #[test]
    fn an_id_of_the_same_slot_is_not_mistaken() {
        let mut table = Table::new(u32::MAX);
        let id = table.insert(());
        assert_eq!(table.get(id + 16), None);
        assert_eq!(table.remove(id + 16), None);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn growing_keeps_every_call() {
        let mut table = Table::new(u32::MAX);
        table.start_at(u32::MAX - 500);
        let ids: Vec<_> = (0..1000).map(|n| (table.insert(n), n)).collect();
        assert!(
            ids.iter()
                .all(|(id, n)| table.get(*id) == Some(n) && *id != 0)
        );
        assert!(ids.iter().all(|(id, n)| table.remove(*id) == Some(*n)));
        assert_eq!(table.len(), 0);
    }
    #[test]
    fn an_emptied_one_gives_its_memory_back() {
        let mut table = Table::new(u32::MAX);
        let ids: Vec<_> = (0..100_000).map(|n| table.insert(n)).collect();
        let kept = ids[70_000];
        for id in ids.iter().filter(|id| **id != kept) {
            table.remove(*id).unwrap();
            assert!(table.get(kept).is_some());
        }
        assert!(table.slots.len() <= 2 * KEPT, "{}", table.slots.len());
        assert_eq!(table.remove(kept), Some(70_000));
    }

    #[test]
    fn one_that_cannot_shrink_is_left_as_it_is() {
        let mut table = Table::new(u32::MAX);
        let ids: Vec<_> = (0..20_000).map(|n| table.insert(n)).collect();
        let size = table.slots.len();
        // All that stay have the same place in any smaller ring.
        let stays = |id: &u32| *id as usize % (size / 2) == 5;
        ids.iter().filter(|id| !stays(id)).for_each(|id| {
            table.remove(*id).unwrap();
        });
        assert!(
            ids.iter()
                .filter(|id| stays(id))
                .all(|id| table.get(*id).is_some())
        );
        ids.iter().filter(|id| stays(id)).for_each(|id| {
            table.remove(*id).unwrap();
        });
        assert_eq!((table.len(), table.slots.len()), (0, SMALLEST));
    }
}
