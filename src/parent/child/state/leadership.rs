//! The rules for threads that read, write and sleep. The driver executes them.
//!
//! One thread at a time reads the link. It is the **leader**, one of the threads that wait for
//! something, or it is the **reactor**, which sleeps in `epoll` for all children of the process.
//! The other waiting threads are **parked**, and are woken when what they wait for has arrived.
//!
//! ```text
//!          lead                       read_in_reactor (no thread waits)
//!   Free ────────▶ Leader       Free ────────▶ Reactor
//!     ▲              │            ▲              │
//!     └────leave─────┘            └────leave─────┘
//! ```
//!
//! The rules. Each is a line of [`Leadership::apply_rules`], which is called before every release
//! of the lock:
//!
//! 1. A thread that stops reading, or finds that no thread reads, wakes the thread that has been
//!    parked longest: the **successor**. No second thread is woken until the successor runs. If
//!    the successor has its answer, or its deadline is over, it applies the rules as well, and so
//!    passes the role on.
//! 2. If no thread is parked, but something waits that cannot read (a task, a callback), the
//!    reactor watches for input at once.
//! 3. While threads lead in turns, the reactor does not watch for input. It looks every
//!    [`TICK`], and watches once there has been no leader for that time. A new link counts as one
//!    that was just led, because the thread that started the child will soon call it.
//! 4. A leader that finds the reactor watching for input stops that. The reactor does not watch
//!    for input that must not be read either, because it would wake up again and again.
//! 5. A thread that leaves bytes unwritten because the socket is full has the reactor watch for
//!    room. A leader that has something to write watches for room itself.
//! 6. A thread that leaves bytes unwritten for another reason has the reactor write them soon.
//!    The reason may be that further bytes will follow, or that a call got room which had to wait.

use std::collections::VecDeque;
use std::time::Duration;

/// How long the reactor leaves reading to threads that lead in turns.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The number of a parked thread.
pub(crate) type ParkedId = u64;

/// The reader of the link.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ReaderRole {
    /// Nothing.
    #[default]
    Free,
    /// A thread that waits.
    Leader,
    Reactor,
}

/// The facts that the rules must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inputs {
    /// There may be something to read, and room for it.
    pub(crate) readable: bool,
    /// Something waits that cannot read.
    pub(crate) urgent: bool,
    /// There are bytes that no thread has written.
    pub(crate) unwritten: bool,
}

/// Actions for the driver after the rules were applied.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Actions {
    /// Wake this parked thread.
    pub(crate) wake: Option<ParkedId>,
    /// Have the reactor watch for input, or stop that.
    pub(crate) watch_read: Option<bool>,
    /// Have the reactor watch for room to write, or stop that.
    pub(crate) watch_write: Option<bool>,
    /// Have the reactor look after a [`TICK`].
    pub(crate) tick: bool,
    /// Have the reactor write soon.
    pub(crate) flush: bool,
}

/// The roles of one link.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Leadership {
    reading: ReaderRole,
    pub(crate) writing: bool,
    /// A thread wanted to write while another thread wrote.
    again: bool,
    /// The socket was full at the last write.
    pub(crate) blocked: bool,
    parked: VecDeque<ParkedId>,
    successor: Option<ParkedId>,
    pub(crate) watches_read: bool,
    watches_write: bool,
    /// The reactor will look after a tick.
    pub(crate) ticking: bool,
    /// There was a leader since the last tick.
    pub(crate) led: bool,
    /// The reactor will write soon.
    pub(crate) flushing: bool,
}

impl Leadership {
    pub(crate) fn new() -> Self {
        Self {
            led: true,
            ..Self::default()
        }
    }

    /// Gives the role of the reader to `role`. Returns whether it was free.
    pub(crate) fn take_reading(&mut self, role: ReaderRole) -> bool {
        let free = self.reading == ReaderRole::Free;
        if free {
            self.reading = role;
            self.led |= role == ReaderRole::Leader;
        }
        free
    }

    /// Frees the role of the reader. [`apply_rules`](Self::apply_rules) must follow.
    pub(crate) fn leave(&mut self) {
        self.reading = ReaderRole::Free;
    }

    /// Makes this thread the writer, and returns whether it is. It is not if the socket is
    /// full, or another thread writes; that thread then writes once more.
    pub(crate) fn write(&mut self) -> bool {
        let free = !self.writing && !self.blocked;
        self.again |= self.writing;
        self.writing |= free;
        free
    }

    /// Frees the role of the writer; `blocked` says whether the socket was full. Returns
    /// whether another thread wanted to write meanwhile, so that the writer must write once more.
    pub(crate) fn wrote(&mut self, blocked: bool) -> bool {
        self.writing = false;
        self.blocked = blocked;
        std::mem::take(&mut self.again)
    }

    /// Notes that a thread goes to sleep.
    pub(crate) fn park(&mut self, parked_id: ParkedId) {
        self.parked.push_back(parked_id);
    }

    /// Notes that the thread is awake again, for any reason.
    pub(crate) fn unpark(&mut self, parked_id: ParkedId) {
        self.parked.retain(|parked| *parked != parked_id);
        if self.successor == Some(parked_id) {
            self.successor = None;
        }
    }

    /// Applies the rules, and returns what the driver must do.
    pub(crate) fn apply_rules(&mut self, inputs: Inputs) -> Actions {
        let mut actions = Actions::default();
        if self.reading == ReaderRole::Free && inputs.readable {
            self.pass_on(inputs, &mut actions);
        }
        if self.reading == ReaderRole::Leader || !inputs.readable {
            self.watch_read(false, &mut actions);
        }
        self.watch_write(
            self.blocked && inputs.unwritten && !self.writing,
            &mut actions,
        );
        if inputs.unwritten && !self.blocked && !self.writing && !self.flushing {
            (self.flushing, actions.flush) = (true, true);
        }
        actions
    }

    fn pass_on(&mut self, inputs: Inputs, actions: &mut Actions) {
        if self.successor.is_some() {
            return;
        }
        self.successor = self.parked.pop_front();
        actions.wake = self.successor;
        if self.successor.is_none() && (inputs.urgent || !(self.led || self.ticking)) {
            self.watch_read(true, actions);
        } else if self.successor.is_none() && !self.watches_read && !self.ticking {
            (self.led, self.ticking, actions.tick) = (false, true, true);
        }
    }

    fn watch_read(&mut self, on: bool, actions: &mut Actions) {
        if self.watches_read != on {
            self.watches_read = on;
            actions.watch_read = Some(on);
        }
    }

    fn watch_write(&mut self, on: bool, actions: &mut Actions) {
        if self.watches_write != on {
            self.watches_write = on;
            actions.watch_write = Some(on);
        }
    }
}

#[cfg(test)]
mod tests;
