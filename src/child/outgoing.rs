//! Where replies and events leave the child: one after the other, whole, and
//! many with one write.
//!
//! What is finished must neither be lost with the process nor wait for the call
//! after it. So what is not written at once is first put into the page that the
//! parent shares, if there is room: if the process dies before it is written, the
//! parent takes it from there. And it is written
//!
//! * before the child sleeps, when no whole request is left;
//! * when [`BATCH`] octets have come together, or the oldest are [`FRESH`] old;
//! * by a thread of its own, the **watcher**, when a call turns out to take long:
//!   after [`LATE`], or [`PATIENCE`] if much was going on until then.
//!
//! The first frame after a pause is written at once. Without a page (over stdin
//! and stdout, or from a parent that gave none) every frame is.
//!
//! If the link is full, a blocking child sleeps. A child that [holds](Outgoing::new)
//! goes on, and the watcher writes once there is room; only with [`HELD`] octets
//! unwritten it sleeps, too, since no more are safe in the page.
//!
//! Once a write has failed, nothing more is sent and the page stays as it is: a
//! later frame would take the place of those that were not written. A frame that
//! was put into the page has been sent even so. If the worker has closed the link,
//! as daemons close all descriptors, the parent takes it from there when this
//! process is gone. This process ends with the next frame, or when it would sleep.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::base::sync::{Condvar, Mutex};
use crate::parcel::{Parcel, Reader};
use crate::protocol::{Failure, FailureCode, Form, MOST, Replies, Requests, announcement};
use crate::sys::{self, Page, Port, RING};

/// So many octets are written without waiting for more. The ring has room for
/// several times as many.
const BATCH: usize = 16 << 10;
/// So many octets may wait for room in the link; a little less than the ring has.
const HELD: usize = RING - BATCH;
/// How old octets may be when the next come, for all to wait a little longer.
const FRESH: Duration = Duration::from_micros(20);
/// With every so-manieth frame that waits the clock is read: it costs as much as
/// the rest of sending one.
const CLOCKED: u32 = 4;
/// When the watcher writes what nobody else has.
const LATE: Duration = Duration::from_micros(50);
/// How long it sleeps at most while others write all the time.
const PATIENCE: Duration = Duration::from_micros(400);

/// The child's end of the link.
#[derive(Debug)]
pub(crate) struct Outgoing {
    port: Arc<Port>,
    form: Form,
    replies: Replies,
    page: Option<Page>,
    /// How many descriptors can go along with one message.
    carries: usize,
    /// What finds the link full is held, and nobody sleeps for it.
    holds: bool,
    queue: Mutex<Queue>,
    /// Wakes the watcher.
    watch: Condvar,
}

/// What an end of a link can do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Abilities {
    /// How many descriptors can go along with one message.
    pub(crate) carries: usize,
    /// It goes on while the link is full.
    pub(crate) holds: bool,
}

/// What was made and is not written.
#[derive(Debug)]
struct Queue {
    octets: Vec<u8>,
    /// Since when the oldest of it has been waiting.
    since: Instant,
    /// When something was last written.
    wrote: Instant,
    /// How many frames wait behind the first.
    unclocked: u32,
    /// How many octets were written, ever.
    place: u64,
    watcher: Watcher,
    /// The link was full, and the watcher waits for room.
    full: bool,
    /// A write has failed: the parent is gone, or this process has closed the link.
    broken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watcher {
    /// There is none yet.
    None,
    /// It sleeps until it is needed.
    Idle,
    /// It will look soon.
    Armed,
}

/// A call that events may belong to.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) id: u32,
    /// Written under the queue's lock.
    over: AtomicBool,
}

impl Open {
    pub(crate) fn new(id: u32) -> Self {
        Self {
            id,
            over: AtomicBool::new(false),
        }
    }
}

/// Why something was not sent.
#[derive(Debug)]
pub(crate) enum Unsent {
    /// It is longer than so many octets.
    TooLong(u32),
    /// It holds the first number of descriptors, more than the second, the limit.
    TooMany(usize, usize),
    /// Nobody reads any more.
    Gone,
    /// It belongs to a call that is over.
    Over,
}

impl Unsent {
    /// What a result that was not sent is as the failure of its call, unless
    /// nobody is there to be told.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let limit = match self {
            Self::TooLong(limit) => limit,
            Self::TooMany(count, most) => {
                return Some(Failure::too_many("the result", *count, *most));
            }
            Self::Gone | Self::Over => return None,
        };
        let text = format!(
            "the result is longer than {limit} octets, which is the limit; raise `max_message`"
        );
        Some(Failure::new(FailureCode::TooLong, text))
    }
}

impl Queue {
    /// Takes note of a write that has failed.
    fn tried<T>(&mut self, written: io::Result<T>) -> Result<T, Unsent> {
        self.broken |= written.is_err();
        written.map_err(|_| Unsent::Gone)
    }

    /// Whether anything can still be written.
    fn check(&self) -> Result<(), Unsent> {
        if self.broken {
            Err(Unsent::Gone)
        } else {
            Ok(())
        }
    }
}

/// The end that is read from.
impl AsFd for Outgoing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.port.read_fd()
    }
}

impl Outgoing {
    /// An end at which `place` octets were written. One that holds must flush
    /// with [`try_flush`](Self::try_flush) before it sleeps.
    pub(crate) fn new(
        port: impl Into<Arc<Port>>,
        form: Form,
        limit: u32,
        (page, place): (Option<Page>, u64),
        Abilities { carries, holds }: Abilities,
    ) -> Self {
        let now = Instant::now();
        let queue = Queue {
            octets: Vec::new(),
            since: now,
            wrote: now,
            unclocked: 0,
            place,
            watcher: Watcher::None,
            full: false,
            broken: false,
        };
        Self {
            port: port.into(),
            form,
            replies: Replies::new(limit),
            holds: holds && page.is_some(),
            page,
            carries,
            queue: Mutex::new(queue),
            watch: Condvar::new(),
        }
    }

    /// What is left when nothing will be sent any more.
    pub(crate) fn into_port(self) -> Arc<Port> {
        self.port
    }

    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// Notes how many requests have started, where the parent finds it if this process dies.
    pub(crate) fn note_started(&self, requests: &Requests) {
        if let Some(page) = &self.page {
            page.started().store(requests.started(), Ordering::Release);
        }
    }

    /// Whether descriptors can go along.
    pub(crate) fn carries(&self) -> bool {
        self.carries > 0
    }

    /// Reads, blocking, as much as there is [room](Reader::room) for. An error is an end: nobody is there any more.
    pub(crate) fn recv(&self, reader: &mut Reader, room: usize) -> usize {
        let mut arrival = None;
        let count = self.port.recv(reader.buffer(), room, &mut arrival);
        reader.arrived(arrival);
        count.unwrap_or(0)
    }

    /// Reads without blocking: `None` if there is nothing yet.
    pub(crate) fn try_recv(&self, reader: &mut Reader, room: usize) -> Option<usize> {
        let mut arrival = None;
        let count = self.port.try_recv(reader.buffer(), room, &mut arrival);
        reader.arrived(arrival);
        count.unwrap_or(Some(0))
    }

    /// Whether the parent is gone, as far as anybody can tell.
    pub(crate) fn has_hung_up(&self) -> bool {
        self.port.has_hung_up().unwrap_or(false)
    }

    /// Sends a result: room for a header, then octets. It may be written with
    /// those that follow if `more` calls are there to be run now.
    pub(crate) fn result(
        self: &Arc<Self>,
        id: u32,
        parcel: &mut Parcel,
        more: bool,
    ) -> Result<(), Unsent> {
        let made = self.replies.result(id, parcel);
        made.map_err(Unsent::TooLong)?;
        self.send(parcel, more)
    }

    /// Sends an event: room for a header, then octets.
    pub(crate) fn event(self: &Arc<Self>, parcel: &mut Parcel) -> Result<(), Unsent> {
        let made = self.replies.message(0, &mut parcel.frame);
        made.map_err(Unsent::TooLong)?;
        self.send(parcel, true)
    }

    /// Sends an event of a call that is not over: room for a header, then octets.
    pub(crate) fn call_event(
        self: &Arc<Self>,
        call: &Open,
        parcel: &mut Parcel,
    ) -> Result<(), Unsent> {
        self.replies
            .call_event(call.id, &mut parcel.frame)
            .map_err(Unsent::TooLong)?;
        let mut queue = self.queue.lock();
        if call.over.load(Ordering::Relaxed) {
            return Err(Unsent::Over);
        }
        self.send_parcel_in(&mut queue, parcel, true)
    }

    /// From now on there are no events of this call: its answer may follow.
    pub(crate) fn end(&self, call: &Open) {
        let _queue = self.queue.lock();
        call.over.store(true, Ordering::Relaxed);
    }

    /// Sends the failure of a call.
    pub(crate) fn failed(self: &Arc<Self>, id: u32, failure: &Failure) -> Result<(), Unsent> {
        self.send_octets(&Replies::failed(id, failure))
    }

    /// Says that this child cannot work at all.
    pub(crate) fn unfit(self: &Arc<Self>, failure: &Failure) -> Result<(), Unsent> {
        match self.form {
            Form::Full => self.failed(0, failure),
            Form::Plain => {
                eprintln!("offspring: init failed: {}", failure.message);
                Ok(())
            }
        }
    }

    /// Says that `init` is done.
    pub(crate) fn ready(self: &Arc<Self>) -> Result<(), Unsent> {
        self.send_octets(&Replies::ready())
    }

    /// Says that no more calls are wanted.
    pub(crate) fn retire(self: &Arc<Self>) -> Result<(), Unsent> {
        self.send_octets(&Replies::retire())
    }

    /// Writes what waits, as far as there is room; the watcher does the rest.
    pub(crate) fn try_flush(self: &Arc<Self>) -> Result<(), Unsent> {
        let mut queue = self.queue.lock();
        if self.holds && !queue.full {
            return self.try_write_out(&mut queue);
        }
        Ok(())
    }

    /// Writes what waits.
    ///
    /// # Blocking
    ///
    /// Until the parent has made room for it.
    pub(crate) fn flush(&self) -> Result<(), Unsent> {
        let mut queue = self.queue.lock();
        self.write_out(&mut queue)
    }

    fn send_octets(self: &Arc<Self>, frame: &[u8]) -> Result<(), Unsent> {
        self.send_in(&mut self.queue.lock(), frame, false)
    }

    fn send(self: &Arc<Self>, parcel: &mut Parcel, more: bool) -> Result<(), Unsent> {
        self.send_parcel_in(&mut self.queue.lock(), parcel, more)
    }

    /// Descriptors cannot wait in the page: with some, all is written at once.
    fn send_parcel_in(
        self: &Arc<Self>,
        queue: &mut Queue,
        parcel: &mut Parcel,
        more: bool,
    ) -> Result<(), Unsent> {
        if parcel.descriptors.is_empty() && parcel.tail.is_empty() {
            return self.send_in(queue, &parcel.frame, more);
        }
        let count = parcel.descriptors.len();
        if count > self.carries {
            return Err(Unsent::TooMany(count, self.carries));
        }
        self.write_out(queue)?;
        for lot in std::mem::take(&mut parcel.descriptors).chunks(MOST) {
            self.announce(queue, lot)?;
        }
        self.write_parts(queue, [&parcel.frame, &parcel.tail])
    }

    /// Writes the frame that says what goes along with the next, and sends it along.
    fn announce(&self, queue: &mut Queue, lot: &[OwnedFd]) -> Result<(), Unsent> {
        let octets = announcement(lot.len());
        match self.port.send_all_with(&octets, lot) {
            Err(error) if sys::is_too_many_in_flight(&error) => self.write(queue, &announcement(0)),
            sent => {
                queue.tried(sent)?;
                queue.place += octets.len() as u64;
                Ok(())
            }
        }
    }

    fn send_in(
        self: &Arc<Self>,
        queue: &mut Queue,
        frame: &[u8],
        more: bool,
    ) -> Result<(), Unsent> {
        queue.check()?;
        let length = queue.octets.len() + frame.len();
        if queue.full && length <= HELD {
            self.put(queue, frame);
            return Ok(());
        }
        let small = length < BATCH;
        if more && small && self.page.is_some() && self.may_wait(queue) {
            self.put(queue, frame);
            return Ok(());
        }
        if self.holds && length <= HELD {
            self.put(queue, frame);
            // Sent in any case: if nothing can be written, the next one hears of it.
            let _ = self.try_write_out(queue);
            return Ok(());
        }
        if self.page.is_some() && length <= HELD {
            let rest = self.try_write(queue, frame).unwrap_or(frame);
            if rest.is_empty() {
                return Ok(());
            }
            // Safe before it sleeps until the link has room for it.
            self.put(queue, rest);
            let _ = self.write_out(queue);
            return Ok(());
        }
        self.write_out(queue)?;
        self.write(queue, frame)
    }

    /// Writes of a frame that is next what there is room for, and gives what is left.
    fn try_write<'a>(&self, queue: &mut Queue, frame: &'a [u8]) -> Result<&'a [u8], Unsent> {
        if !queue.octets.is_empty() {
            return Ok(frame);
        }
        let count = queue.tried(self.port.try_send(frame))?.unwrap_or(0);
        queue.wrote = Instant::now();
        queue.place += count as u64;
        Ok(&frame[count..])
    }

    /// Writes what there is room for. Without a watcher to wait for more, it is
    /// waited for here.
    fn try_write_out(self: &Arc<Self>, queue: &mut Queue) -> Result<(), Unsent> {
        queue.check()?;
        while !queue.octets.is_empty() {
            let sent = self.port.try_send(&queue.octets);
            let sent = queue.tried(sent)?;
            // What comes next is fresh however long that has taken.
            queue.wrote = Instant::now();
            let Some(count) = sent else {
                queue.full = self.arm(queue);
                return if queue.full {
                    Ok(())
                } else {
                    self.write_out(queue)
                };
            };
            queue.octets.drain(..count);
            queue.place += count as u64;
        }
        Ok(())
    }

    /// Whether what is made now may wait for more; then the watcher will look.
    fn may_wait(self: &Arc<Self>, queue: &mut Queue) -> bool {
        if queue.octets.is_empty() {
            let now = Instant::now();
            (queue.since, queue.unclocked) = (now, 0);
            return now - queue.wrote < FRESH && self.arm(queue);
        }
        queue.unclocked += 1;
        if !queue.unclocked.is_multiple_of(CLOCKED) {
            return true;
        }
        queue.since.elapsed() < FRESH
    }

    /// From now on octets are safe, whatever happens to this process.
    fn put(&self, queue: &mut Queue, frame: &[u8]) {
        if let Some(page) = &self.page {
            page.put(queue.place + queue.octets.len() as u64, frame);
        }
        queue.octets.extend_from_slice(frame);
    }

    fn write_out(&self, queue: &mut Queue) -> Result<(), Unsent> {
        queue.check()?;
        if queue.octets.is_empty() {
            return Ok(());
        }
        let mut octets = std::mem::take(&mut queue.octets);
        let written = self.write(queue, &octets);
        octets.clear();
        queue.octets = octets;
        written
    }

    fn write(&self, queue: &mut Queue, octets: &[u8]) -> Result<(), Unsent> {
        self.write_parts(queue, [octets, &[]])
    }

    fn write_parts(&self, queue: &mut Queue, parts: [&[u8]; 2]) -> Result<(), Unsent> {
        queue.tried(self.port.send_all_parts(parts))?;
        queue.wrote = Instant::now();
        queue.place += parts.map(|part| part.len() as u64).iter().sum::<u64>();
        Ok(())
    }

    /// Has the watcher look; false if there can be none.
    fn arm(self: &Arc<Self>, queue: &mut Queue) -> bool {
        match queue.watcher {
            Watcher::Armed => return true,
            Watcher::Idle => self.watch.notify_one(),
            Watcher::None => {
                let own = Arc::clone(self);
                let watch = move || own.keep_watch();
                if sys::spawn_small_thread("offspring-writer", watch).is_err() {
                    return false;
                }
            }
        }
        queue.watcher = Watcher::Armed;
        true
    }

    /// The watcher: sleeps until it is armed, looks a little later, and writes
    /// what has been waiting too long. While it finds that others write, it
    /// looks less often.
    fn keep_watch(self: &Arc<Self>) {
        let mut queue = self.queue.lock();
        let mut patience = LATE;
        let mut place = queue.place;
        loop {
            if queue.full {
                drop(queue);
                let room = self.port.wait_for_room();
                queue = self.queue.lock();
                queue.full = false;
                if room.is_err() || self.try_write_out(&mut queue).is_err() {
                    return;
                }
            } else if queue.octets.is_empty() && queue.place == place {
                queue.watcher = Watcher::Idle;
                patience = LATE;
                queue = self.watch.wait(queue);
                place = queue.place;
            } else if queue.place == place && queue.since.elapsed() >= LATE {
                if self.write_out(&mut queue).is_err() {
                    // Nobody reads any more; the serving thread will see it.
                    return;
                }
                place = queue.place;
            } else {
                if queue.place != place {
                    patience = (patience * 2).min(PATIENCE);
                }
                place = queue.place;
                queue = self.watch.wait_timeout(queue, patience);
            }
        }
    }
}

#[cfg(test)]
mod tests;
