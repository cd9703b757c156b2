//! The driver over a fake link. The child echoes as a plain child would, and the reactor is a
//! thread that does exactly what it is told.

mod driver;
#[cfg(not(loom))]
mod late;
mod models;

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::driver::Driver;
use super::handlers::ChildHandlers;
use super::interface::{EventSink, Handlers, OnEvent, Refusal, WaitMode};
use super::io::Io;
use super::state::callback_queue::{CallbackQueue, EventLimits};
use super::state::lifecycle::{Expected, Lifecycle};
use super::state::waiters::WaitFor;
use super::state::{Caller, ChildState, LinkReader};
use crate::base::spin::Spins;
use crate::base::sync::explored::{Guard, Mutex};
use crate::base::sync::testing::Condvar;
use crate::error::{ChildId, Error};
use crate::message::{FrameReader, Message, Payload};
use crate::parent::spawn::confinement::Confinement;
use crate::protocol::{FlowLimits, Form, HEADER, ReplyFrames, Request, RequestReader};
use crate::sys::{FdBatch, Interest, Link, ReadMode, Readiness};

/// A link without a socket.
pub(crate) struct FakeIo {
    state: Mutex<FakeState>,
    changed: Condvar,
}

/// The child, the bytes on their way, and what the reactor was told.
pub(crate) struct FakeState {
    reader: FrameReader,
    requests: RequestReader,
    /// Bytes that the child has written and the parent has not read.
    input: Vec<u8>,
    /// The stream has ended.
    ended: bool,
    /// The socket, or the ring, has no room.
    full: bool,
    /// `None` if the link is a socket.
    rings: Option<Rings>,
    /// The child does not answer now.
    silent: bool,
    /// The calls that the child has not answered.
    due: Vec<(u32, Vec<u8>)>,
    watches: Interest,
    ticks: Vec<Instant>,
    /// The reactor also runs timers.
    runs_timers: bool,
    /// The reactor ends.
    over: bool,
    /// How often the parent read and found nothing.
    pub(crate) idle_reads: usize,
}

/// The part of a link over rings that is about sleeping.
struct Rings {
    /// The parent sleeps until there is something to read, or room to write.
    sleeps: Interest,
    /// How many doorbells are in the socket.
    doorbells: u32,
    /// There was something to read, or room to write, when the reactor was told to watch for it.
    /// It looks at once.
    is_now: Readiness,
}

impl FakeIo {
    fn new() -> Self {
        let fake = FakeState {
            reader: FrameReader::new(Form::Plain, 1 << 20),
            requests: RequestReader::default(),
            input: Vec::new(),
            ended: false,
            full: false,
            rings: None,
            silent: false,
            due: Vec::new(),
            watches: Interest::NONE,
            ticks: Vec::new(),
            runs_timers: false,
            over: false,
            idle_reads: 0,
        };
        Self {
            state: Mutex::new(fake),
            changed: Condvar::new(),
        }
    }

    /// Changes what the child and the reactor do.
    pub(crate) fn set<T>(&self, change: impl FnOnce(&mut FakeState) -> T) -> T {
        let mut fake = self.state.lock();
        let value = change(&mut fake);
        fake.answer();
        fake.ring();
        drop(fake);
        self.changed.notify_all();
        value
    }

    /// Makes the link one over rings.
    pub(crate) fn use_rings(&self) {
        self.set(|fake| {
            fake.rings = Some(Rings {
                sleeps: Interest::NONE,
                doorbells: 0,
                is_now: Readiness {
                    read: false,
                    write: false,
                },
            });
        });
    }

    fn until(&self, ready: impl Fn(&FakeState) -> bool) -> Guard<'_, FakeState> {
        let mut fake = self.state.lock();
        while !ready(&fake) {
            fake = self.changed.wait(fake).unwrap();
        }
        fake
    }
}

impl FakeState {
    fn run(&mut self, bytes: &[u8]) {
        self.reader.room();
        self.reader.buffer().extend_from_slice(bytes);
        while let Some(request) = self.requests.next(&mut self.reader).unwrap() {
            if let Request::Call(id) = request {
                self.due.push((id, self.reader.bytes().to_vec()));
            }
        }
        self.answer();
    }

    fn answer(&mut self) {
        if self.silent || self.ended {
            return;
        }
        for (id, bytes) in std::mem::take(&mut self.due) {
            self.send(id, &bytes);
        }
    }

    /// The child writes a result, or an event if `id` is 0.
    pub(crate) fn send(&mut self, id: u32, bytes: &[u8]) {
        let mut frame = [&[0; HEADER], bytes].concat();
        ReplyFrames::new(u32::MAX).message(id, &mut frame).unwrap();
        self.input.extend_from_slice(&frame);
    }

    fn is_readable(&self) -> bool {
        !self.input.is_empty() || self.ended
    }

    /// The child sends doorbells for what it has done.
    fn ring(&mut self) {
        let (read, write) = (self.is_readable(), !self.full);
        if let Some(rings) = &mut self.rings {
            let Interest {
                read: reads,
                write: writes,
            } = &mut rings.sleeps;
            rings.doorbells += u32::from(read && std::mem::take(reads));
            rings.doorbells += u32::from(write && std::mem::take(writes));
        }
    }

    /// The parent has found nothing, and takes the doorbells.
    fn take_doorbells(&mut self) {
        if let Some(rings) = &mut self.rings {
            rings.doorbells = 0;
        }
    }

    /// The parent says that it sleeps until there is something to read. Returns false if there is.
    fn sleep_reading(&mut self) -> bool {
        let sleeps = !self.is_readable();
        if let Some(rings) = &mut self.rings {
            rings.sleeps.read = sleeps;
        }
        sleeps
    }

    fn stop_sleeping(&mut self) {
        if let Some(rings) = &mut self.rings {
            rings.sleeps.read = false;
        }
    }

    /// Has the reactor watch for what is wanted. If `reads` is true, it watches anew for something
    /// to read.
    fn watch(&mut self, reads: bool) {
        let (read, write) = (self.watches.read, self.watches.write && !self.full);
        let something = reads && read && !self.sleep_reading();
        if let Some(rings) = &mut self.rings {
            rings.is_now.write = write;
            if reads {
                rings.is_now.read = something;
                rings.sleeps.read &= read;
            }
        }
    }

    /// Returns the event that `epoll` would report.
    fn event(&self) -> Readiness {
        let Interest { read, write } = self.watches;
        let write = write && !self.full;
        match &self.rings {
            None => Readiness {
                read: read && self.is_readable(),
                write,
            },
            Some(rings) => {
                let heard = (read || self.watches.write) && (rings.doorbells > 0 || self.ended);
                let is_now = rings.is_now.read || rings.is_now.write;
                Readiness {
                    read: heard || is_now,
                    write: false,
                }
            }
        }
    }

    fn read(&mut self, buffer: &mut Vec<u8>, room: usize) -> usize {
        let count = self.input.len().min(room);
        buffer.extend(self.input.drain(..count));
        count
    }
}

/// One function for each mode of reading.
impl FakeIo {
    fn look(&self, buffer: &mut Vec<u8>, room: usize) -> io::Result<Option<usize>> {
        let mut fake = self.state.lock();
        Ok(fake.is_readable().then(|| fake.read(buffer, room)))
    }

    fn try_recv(&self, buffer: &mut Vec<u8>, room: usize) -> io::Result<Option<usize>> {
        let mut fake = self.state.lock();
        let readable = fake.is_readable();
        if !readable {
            fake.take_doorbells();
        }
        fake.idle_reads += usize::from(!readable);
        Ok(readable.then(|| fake.read(buffer, room)))
    }

    fn recv_blocking(&self, buffer: &mut Vec<u8>, room: usize) -> io::Result<Option<usize>> {
        let mut fake = self.state.lock();
        if fake.rings.is_none() {
            drop(fake);
            return Ok(Some(self.until(FakeState::is_readable).read(buffer, room)));
        }
        if fake.sleep_reading() {
            drop(fake);
            fake = self.until(|fake| {
                let doorbells = fake.rings.as_ref().map_or(0, |rings| rings.doorbells);
                doorbells > 0 || fake.ended
            });
            fake.take_doorbells();
            fake.stop_sleeping();
        }
        Ok(fake.is_readable().then(|| fake.read(buffer, room)))
    }
}

impl Link for FakeIo {
    fn try_send(&self, parts: &[IoSlice<'_>], _: &[OwnedFd]) -> io::Result<Option<usize>> {
        let mut fake = self.state.lock();
        if fake.ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if fake.full {
            return Ok(None);
        }
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
        fake.run(&bytes);
        fake.ring();
        drop(fake);
        self.changed.notify_all();
        Ok(Some(bytes.len()))
    }

    fn recv(
        &self,
        mode: ReadMode,
        buffer: &mut Vec<u8>,
        room: usize,
        _: &mut Vec<FdBatch>,
    ) -> io::Result<Option<usize>> {
        match mode {
            ReadMode::Look => self.look(buffer, room),
            ReadMode::Try => self.try_recv(buffer, room),
            ReadMode::Block => self.recv_blocking(buffer, room),
        }
    }

    fn take_doorbells(&self) {
        self.state.lock().take_doorbells();
    }

    fn has_rings(&self) -> bool {
        self.state.lock().rings.is_some()
    }

    fn awaits_room(&self) -> bool {
        let mut fake = self.state.lock();
        let full = fake.full;
        match &mut fake.rings {
            Some(rings) => {
                rings.sleeps.write = full;
                full
            }
            None => true,
        }
    }

    fn has_room_again(&self) -> bool {
        let fake = self.state.lock();
        fake.rings.is_some() && !fake.full
    }

    fn unread(&self) -> u64 {
        self.state.lock().input.len() as u64
    }

    fn wait(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<Readiness> {
        let mut fake = self.state.lock();
        let rings = fake.rings.is_some();
        if rings && interest.read {
            fake.sleep_reading();
        }
        drop(fake);
        let ready = |fake: &FakeState| {
            let write = interest.write && !fake.full;
            let rung = fake.rings.as_ref().is_some_and(|rings| rings.doorbells > 0);
            interest.read && fake.is_readable() || write || rung || deadline.is_some()
        };
        let mut fake = self.until(ready);
        let rung = fake.rings.as_ref().is_some_and(|rings| rings.doorbells > 0);
        fake.stop_sleeping();
        Ok(Readiness {
            read: interest.read && (rung || fake.is_readable()),
            write: interest.write && !fake.full,
        })
    }

    fn accept_rings(&self, _: &[u8], _: Vec<FdBatch>) -> bool {
        true
    }

    fn refuse_rings(&self) {}

    fn shutdown_write(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Io for FakeIo {
    type Link = Self;

    fn link(&self) -> &Self {
        self
    }

    fn watch_again(&self, reads: bool) {
        self.set(|fake| fake.watch(reads && fake.watches.read));
    }

    fn watch(&self, read: Option<bool>, write: Option<bool>) {
        self.set(|fake| {
            let Interest {
                read: reads,
                write: writes,
            } = fake.watches;
            fake.watches.read = read.unwrap_or(reads);
            fake.watches.write = write.unwrap_or(writes);
            fake.watch(reads != fake.watches.read);
        });
    }

    fn tick_at(&self, at: Instant) {
        self.set(|fake| fake.ticks.push(at));
    }

    fn cancel_tick(&self, at: Instant) {
        self.set(|fake| fake.ticks.retain(|tick| *tick != at));
    }

    fn signal(&self, _: i32) -> std::io::Result<()> {
        self.set(|fake| fake.ended = true);
        Ok(())
    }
}

/// A driver with room for `calls` calls at once.
pub(crate) fn driver(calls: usize) -> Arc<Driver<FakeIo>> {
    driver_with(calls, EventSink::Unhandled)
}

pub(crate) fn driver_with(calls: usize, sink: EventSink) -> Arc<Driver<FakeIo>> {
    let handlers = ChildHandlers::new(handlers(Box::new(|_| Ok(()))));
    new_driver(calls, sink, None, handlers)
}

/// Handlers of which only `on_event` does something.
pub(crate) fn handlers(on_event: OnEvent) -> Handlers {
    Handlers {
        on_event,
        on_error: Box::new(drop),
        on_destroy: None,
    }
}

/// If there is a time for `hello`, the child is not ready yet.
pub(crate) fn new_driver(
    calls: usize,
    sink: EventSink,
    hello: Option<Duration>,
    handlers: ChildHandlers,
) -> Arc<Driver<FakeIo>> {
    let limits = FlowLimits {
        calls,
        bytes: 1 << 20,
        frame: 1 << 20,
        descriptors: 1000,
    };
    let expected = Expected {
        child: Arc::new(ChildId::of_worker("echo")),
        serialiser: "octets",
        confinement: Confinement::default(),
    };
    let events = EventLimits {
        events: 100,
        bytes: 1 << 20,
        descriptors: 1000,
    };
    let state = ChildState::new(
        Caller::new(None, Vec::new(), limits),
        LinkReader {
            frames: FrameReader::new(Form::Plain, limits.frame),
            spin: Spins::new(false),
        },
        Lifecycle::new(expected, hello, None, false),
        CallbackQueue::new(sink, events, false),
    );
    Driver::new(state, FakeIo::new(), handlers)
}

/// Runs the reactor of this driver until it is told to end. It does only what it was told.
pub(crate) fn run_reactor(driver: &Driver<FakeIo>) {
    loop {
        let mut fake = driver.io.until(|fake| {
            let tick = fake.runs_timers && !fake.ticks.is_empty();
            let Readiness { read, write } = fake.event();
            fake.over || read || write || tick
        });
        if fake.over {
            return;
        }
        let Readiness { read, write } = fake.event();
        let rings = fake.rings.is_some();
        let tick = fake.runs_timers.then(|| fake.ticks.pop()).flatten();
        drop(fake);
        if let Some(at) = tick {
            driver.timer_fired(at);
        }
        if write {
            driver.writable();
        }
        match rings {
            true if read => driver.doorbell(),
            false if read => driver.readable(),
            _ => {}
        }
    }
}

/// Makes a call.
pub(crate) fn call(driver: &Driver<FakeIo>, text: &str) -> Result<u32, Error> {
    let mut message = Message::new();
    message.frame.extend_from_slice(text.as_bytes());
    let called = driver.call(|state| state.call(&mut message, true));
    called.map_err(|refusal| match refusal {
        Refusal::Failed(error) => error,
        Refusal::Full => unreachable!("the call may wait"),
    })
}

/// Waits for the result of a call.
pub(crate) fn wait(driver: &Driver<FakeIo>, id: u32) -> Result<Payload, Error> {
    driver
        .wait(WaitFor::Call(id), WaitMode::Thread(None), |state| {
            state.collect(id)
        })
        .expect("there is no deadline")
}
