//! The table of open calls: a ring indexed by the low bits of the id.
//!
//! Ids count up and wrap; one that is taken is passed over, so an id is never
//! given twice while its answer may still come. The ring is at most half full,
//! and grows by doubling: ids that did not collide before do not collide after.

/// Calls by id.
#[derive(Debug)]
pub(crate) struct Table<S> {
    slots: Box<[Option<(u32, S)>]>,
    used: usize,
    next: u32,
    largest: u32,
}

impl<S> Table<S> {
    /// A table whose ids go from 1 to `largest`.
    pub(crate) fn new(largest: u32) -> Self {
        Self {
            slots: Self::ring(16),
            used: 0,
            next: 1,
            largest,
        }
    }

    fn ring(size: usize) -> Box<[Option<(u32, S)>]> {
        std::iter::repeat_with(|| None).take(size).collect()
    }

    /// Takes a call in and gives it an id.
    ///
    /// At most half the ring is used, so a free slot is at most as many steps
    /// away as there are calls; with 2^27 open calls there is no memory left.
    pub(crate) fn insert(&mut self, slot: S) -> u32 {
        if 2 * (self.used + 1) > self.slots.len() {
            self.grow();
        }
        while self.slots[self.index(self.next)].is_some() {
            self.step();
        }
        let id = self.next;
        self.step();
        let index = self.index(id);
        self.slots[index] = Some((id, slot));
        self.used += 1;
        id
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
        let index = self.index(id);
        let (_, slot) = self.slots[index].take_if(|(known, _)| *known == id)?;
        self.used -= 1;
        Some(slot)
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

    fn grow(&mut self) {
        let old = std::mem::replace(&mut self.slots, Self::ring(0));
        self.slots = Self::ring(old.len() * 2);
        for (id, slot) in old.into_iter().flatten() {
            let index = self.index(id);
            self.slots[index] = Some((id, slot));
        }
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
}
