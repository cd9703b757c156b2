//! Who reads, who writes, who sleeps: the rules, without any of the doing.
//!
//! One thread at a time reads the link: a **leader**, that is one of the
//! threads that wait for something, or the **helper**, a thread that sleeps in
//! `epoll` for all children of the process. The other waiting threads are
//! **parked** and are woken when what they wait for has come.
//!
//! ```text
//!            lead                       lead (nobody waits)
//!   Nobody ────────▶ Leader     Nobody ────────▶ Helper
//!      ▲               │            ▲              │
//!      └─────leave─────┘            └────leave─────┘
//! ```
//!
//! Rules, each of which is a line of [`Roles::settle`], the one function that
//! everybody calls before letting go of the lock:
//!
//! 1. Whoever gives the role up, or finds it free, with others parked, wakes
//!    the one that is parked longest: the heir. Until the heir comes, no second
//!    one is woken. An heir that has its answer, or whose time is up, settles
//!    like everybody, and so passes the role on.
//! 2. With nobody parked, but somebody that cannot read (a task, a callback),
//!    the helper watches for input at once.
//! 3. Else the helper does not watch while threads come and go: it looks every
//!    [`TICK`], and watches for good once there was no leader for so long. A new
//!    link is like one that was just led: whoever starts a child calls it soon.
//! 4. A leader that finds the helper watching for input tells it to stop; and it
//!    does not watch for what cannot be read, or would wake for ever.
//! 5. Whoever leaves octets behind because the socket is full has the helper
//!    watch for room. A leader that writes watches for room by itself.
//! 6. Whoever leaves octets behind for any other reason (others may follow, or
//!    room came for a call that had to wait) has the helper write them soon.

use std::collections::VecDeque;
use std::time::Duration;

/// How long the helper leaves reading to threads that come and go.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Names a waiting thread.
pub(crate) type Ticket = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reading {
    Nobody,
    Leader,
    Helper,
}

/// What the rules must know of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    /// There is, or may be, something to read, and room for it.
    pub(crate) readable: bool,
    /// Somebody waits who cannot read.
    pub(crate) urgent: bool,
    /// Octets are left that nobody has written.
    pub(crate) unwritten: bool,
}

/// What is to be done once the rules were applied.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Orders {
    /// Wake this parked thread.
    pub(crate) wake: Option<Ticket>,
    /// The helper shall watch for input, or stop.
    pub(crate) watch_read: Option<bool>,
    /// The helper shall watch for room, or stop.
    pub(crate) watch_write: Option<bool>,
    /// The helper shall look again after a [`TICK`].
    pub(crate) tick: bool,
    /// The helper shall write soon.
    pub(crate) flush: bool,
}

/// Who does what on one link.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Roles {
    reading: Reading,
    writing: bool,
    /// Somebody wanted to write while somebody else did.
    again: bool,
    /// The socket was full when it was last tried.
    blocked: bool,
    parked: VecDeque<Ticket>,
    heir: Option<Ticket>,
    watches_read: bool,
    watches_write: bool,
    /// The helper will look again.
    ticking: bool,
    /// There was a leader since the last look.
    led: bool,
    /// The helper will write soon.
    flushing: bool,
}

impl Roles {
    pub(crate) fn new() -> Self {
        Self {
            reading: Reading::Nobody,
            writing: false,
            again: false,
            blocked: false,
            parked: VecDeque::new(),
            heir: None,
            watches_read: false,
            watches_write: false,
            ticking: false,
            led: true,
            flushing: false,
        }
    }

    /// A waiting thread takes the role of the reader, if it is free.
    pub(crate) fn lead(&mut self) -> bool {
        let free = self.reading == Reading::Nobody;
        if free {
            self.reading = Reading::Leader;
            self.led = true;
        }
        free
    }

    /// The helper takes the role of the reader, if it is free.
    pub(crate) fn help(&mut self) -> bool {
        let free = self.reading == Reading::Nobody;
        if free {
            self.reading = Reading::Helper;
        }
        free
    }

    /// The reader gives its role up. [`settle`](Self::settle) must follow.
    pub(crate) fn leave(&mut self) {
        self.reading = Reading::Nobody;
    }

    /// Takes the role of the writer, if it is free and the socket not full. If
    /// somebody has it, he will look once more.
    pub(crate) fn write(&mut self) -> bool {
        let free = !self.writing && !self.blocked;
        self.again |= self.writing;
        self.writing |= free;
        free
    }

    /// The writer is done; the socket may have been full. True if he is to look
    /// once more, because somebody came meanwhile.
    pub(crate) fn wrote(&mut self, blocked: bool) -> bool {
        self.writing = false;
        self.blocked = blocked;
        std::mem::take(&mut self.again)
    }

    /// The socket has room again.
    pub(crate) fn unblock(&mut self) {
        self.blocked = false;
    }

    /// Somebody writes.
    pub(crate) fn is_writing(&self) -> bool {
        self.writing
    }

    /// The socket was full when it was last tried.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// This thread goes to sleep.
    pub(crate) fn park(&mut self, ticket: Ticket) {
        self.parked.push_back(ticket);
    }

    /// This thread is awake again, for whatever reason.
    pub(crate) fn unpark(&mut self, ticket: Ticket) {
        self.parked.retain(|parked| *parked != ticket);
        if self.heir == Some(ticket) {
            self.heir = None;
        }
    }

    /// The helper watches for input.
    pub(crate) fn is_watched(&self) -> bool {
        self.watches_read
    }

    /// A thread took what had come already: it is one of those that read.
    pub(crate) fn collected(&mut self) {
        self.led = true;
    }

    /// The helper looks, as it was told to.
    pub(crate) fn looked(&mut self) {
        self.ticking = false;
    }

    /// The helper is about to write what there is.
    pub(crate) fn flushed(&mut self) {
        self.flushing = false;
    }

    /// Applies the rules.
    pub(crate) fn settle(&mut self, needs: Needs) -> Orders {
        let mut orders = Orders::default();
        if self.reading == Reading::Nobody && needs.readable {
            self.pass_on(needs, &mut orders);
        }
        if self.reading == Reading::Leader || !needs.readable {
            self.watch_read(false, &mut orders);
        }
        self.watch_write(
            self.blocked && needs.unwritten && !self.writing,
            &mut orders,
        );
        if needs.unwritten && !self.blocked && !self.writing && !self.flushing {
            (self.flushing, orders.flush) = (true, true);
        }
        orders
    }

    fn pass_on(&mut self, needs: Needs, orders: &mut Orders) {
        if self.heir.is_some() {
            return;
        }
        self.heir = self.parked.pop_front();
        orders.wake = self.heir;
        if self.heir.is_none() && (needs.urgent || !(self.led || self.ticking)) {
            self.watch_read(true, orders);
        } else if self.heir.is_none() && !self.watches_read && !self.ticking {
            (self.led, self.ticking, orders.tick) = (false, true, true);
        }
    }

    fn watch_read(&mut self, on: bool, orders: &mut Orders) {
        if self.watches_read != on {
            self.watches_read = on;
            orders.watch_read = Some(on);
        }
    }

    fn watch_write(&mut self, on: bool, orders: &mut Orders) {
        if self.watches_write != on {
            self.watches_write = on;
            orders.watch_write = Some(on);
        }
    }
}

#[cfg(test)]
mod tests;
