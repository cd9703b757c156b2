//! Calls that wait for room, first come, first served.

use std::collections::VecDeque;

/// The place in the queue, counted from the beginning.
pub(super) type Ticket = u64;

/// A call that is withdrawn leaves a gap, and gaps go before they are half of it:
/// so all of this costs next to nothing, and nothing is left behind.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The ids, 0 for a gap, and where they stand: each behind the one before.
    places: VecDeque<(Ticket, u32)>,
    gaps: usize,
    tickets: Ticket,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.gaps
    }

    /// The next one's place.
    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        self.tickets
    }

    /// This one waits at the place that was just given.
    pub(super) fn push(&mut self, id: u32) {
        self.places.push_back((self.tickets, id));
    }

    /// Who is next.
    pub(super) fn first(&mut self) -> Option<u32> {
        while let Some((_, 0)) = self.places.front() {
            self.places.pop_front();
            self.gaps -= 1;
        }
        self.places.front().map(|(_, id)| *id)
    }

    /// Whoever is first goes.
    pub(super) fn pop(&mut self) {
        self.places.pop_front();
    }

    /// The one at this place goes.
    pub(super) fn remove(&mut self, ticket: Ticket) {
        let Ok(index) = self
            .places
            .binary_search_by_key(&ticket, |(known, _)| *known)
        else {
            return;
        };
        self.places[index].1 = 0;
        self.gaps += 1;
        if 2 * self.gaps > self.places.len() {
            self.places.retain(|(_, id)| *id != 0);
            self.places.shrink_to(2 * self.places.len());
            self.gaps = 0;
        }
    }

    pub(super) fn clear(&mut self) {
        self.places = VecDeque::new();
        self.gaps = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_goes_leaves_no_trace_and_the_others_their_order() {
        let mut queue = Queue::default();
        let tickets: Vec<_> = (1..=1000)
            .map(|id| {
                let ticket = queue.ticket();
                queue.push(id);
                ticket
            })
            .collect();
        for ticket in tickets.iter().filter(|ticket| **ticket % 10 != 0) {
            queue.remove(*ticket);
            assert!(queue.places.len() <= 2 * queue.len() + 1);
        }
        assert_eq!(queue.len(), 100);
        for n in 1..=100 {
            assert_eq!(queue.first(), Some(10 * n));
            queue.pop();
        }
        assert!(queue.is_empty() && queue.first().is_none());
        queue.remove(tickets[0]);
        assert_eq!(queue.places.len(), 0);
    }
}
