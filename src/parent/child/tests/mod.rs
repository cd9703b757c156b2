//! The driver over a link that is no link: the child is the echo that a plain
//! child would be, and the helper a thread that does what it is told and no
//! more.

mod driver;
#[cfg(not(loom))]
mod late;
mod models;

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::courier::Courier;
use super::driver::Driver;
use super::state::delivery::{Delivery, EventLimits};
use super::state::life::{Expected, Life};
use super::state::waiting::Want;
use super::state::{Caller, Core, Reading};
use super::terms::{EventSink, Handlers, OnEvent, Refusal};
use super::wire::Wire;
use crate::base::spin::Spins;
use crate::base::sync::explored::{Guard, Mutex};
use crate::base::sync::testing::Condvar;
use crate::error::{ChildId, Error};
use crate::parcel::{Parcel, Payload, Reader};
use crate::parent::spawn::confinement::Confinement;
use crate::protocol::{Form, HEADER, Limits, Replies, Request, Requests};
use crate::sys::{Arrival, Interest, ReadMode, Ready};

/// A link without a socket.
pub(crate) struct FakeWire {
    state: Mutex<State>,
    news: Condvar,
}

/// What there is between the two, and what the helper was told.
pub(crate) struct State {
    reader: Reader,
    requests: Requests,
    /// What the child wrote and the parent has not read.
    input: Vec<u8>,
    /// Nothing more comes.
    ended: bool,
    /// The socket, or the ring, takes nothing.
    full: bool,
    /// Of a link over rings, what has to do with sleeping; `None`: a socket.
    rings: Option<Rings>,
    /// The child does not answer now; what it has to answer.
    silent: bool,
    due: Vec<(u32, Vec<u8>)>,
    watches: Interest,
    ticks: Vec<Instant>,
    /// The helper heeds the time, too.
    heeds_time: bool,
    /// The helper goes.
    over: bool,
    /// How often the parent was asked to read, and found nothing.
    pub(crate) idle_reads: usize,
}

/// What the two say to each other of sleeping, and what the helper is to make of it.
struct Rings {
    /// The parent sleeps until there is something to read, or room.
    sleeps: Interest,
    /// How many doorbells are in the socket.
    doorbells: u32,
    /// There was something to read when the helper was to sleep, or room: it is to look
    /// at once.
    is_now: Ready,
}

impl FakeWire {
    fn new() -> Self {
        let state = State {
            reader: Reader::new(Form::Plain, 1 << 20),
            requests: Requests::default(),
            input: Vec::new(),
            ended: false,
            full: false,
            rings: None,
            silent: false,
            due: Vec::new(),
            watches: Interest::NONE,
            ticks: Vec::new(),
            heeds_time: false,
            over: false,
            idle_reads: 0,
        };
        Self {
            state: Mutex::new(state),
            news: Condvar::new(),
        }
    }

    /// Changes what the other side does.
    pub(crate) fn set<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let value = change(&mut state);
        state.answer();
        state.ring();
        drop(state);
        self.news.notify_all();
        value
    }

    /// The link is one over rings from now on.
    pub(crate) fn use_rings(&self) {
        self.set(|state| {
            state.rings = Some(Rings {
                sleeps: Interest::NONE,
                doorbells: 0,
                is_now: Ready {
                    read: false,
                    write: false,
                },
            });
        });
    }

    fn until(&self, ready: impl Fn(&State) -> bool) -> Guard<'_, State> {
        let mut state = self.state.lock();
        while !ready(&state) {
            state = self.news.wait(state).unwrap();
        }
        state
    }
}

impl State {
    fn run(&mut self, octets: &[u8]) {
        self.reader.room();
        self.reader.buffer().extend_from_slice(octets);
        while let Some(request) = self.requests.next(&mut self.reader).unwrap() {
            if let Request::Call(id) = request {
                self.due.push((id, self.reader.octets().to_vec()));
            }
        }
        self.answer();
    }

    fn answer(&mut self) {
        if self.silent || self.ended {
            return;
        }
        for (id, octets) in std::mem::take(&mut self.due) {
            self.send(id, &octets);
        }
    }

    /// The child writes a result, or (id 0) an event.
    pub(crate) fn send(&mut self, id: u32, octets: &[u8]) {
        let mut frame = [&[0; HEADER], octets].concat();
        Replies::new(u32::MAX).message(id, &mut frame).unwrap();
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

    /// The parent, which finds nothing, takes doorbells.
    fn take_doorbells(&mut self) {
        if let Some(rings) = &mut self.rings {
            rings.doorbells = 0;
        }
    }

    /// The parent says that it sleeps as a reader, unless there is something.
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

    /// Has the helper watch for what is wanted; for what is to be read anew, if it
    /// `reads`.
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

    /// What the helper would be told of.
    fn event(&self) -> Ready {
        let Interest { read, write } = self.watches;
        let write = write && !self.full;
        match &self.rings {
            None => Ready {
                read: read && self.is_readable(),
                write,
            },
            Some(rings) => {
                let heard = (read || self.watches.write) && (rings.doorbells > 0 || self.ended);
                let is_now = rings.is_now.read || rings.is_now.write;
                Ready {
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

/// What a read does, by its mode.
impl FakeWire {
    fn look(&self, buffer: &mut Vec<u8>, room: usize) -> io::Result<Option<usize>> {
        let mut state = self.state.lock();
        Ok(state.is_readable().then(|| state.read(buffer, room)))
    }

    fn try_recv(&self, buffer: &mut Vec<u8>, room: usize) -> io::Result<Option<usize>> {
        let mut state = self.state.lock();
        let readable = state.is_readable();
        if !readable {
            state.take_doorbells();
        }
        state.idle_reads += usize::from(!readable);
        Ok(readable.then(|| state.read(buffer, room)))
    }

    fn recv_blocking(&self, buffer: &mut Vec<u8>, room: usize) -> io::Result<Option<usize>> {
        let mut state = self.state.lock();
        if state.rings.is_none() {
            drop(state);
            return Ok(Some(self.until(State::is_readable).read(buffer, room)));
        }
        if state.sleep_reading() {
            drop(state);
            state = self.until(|state| {
                let doorbells = state.rings.as_ref().map_or(0, |rings| rings.doorbells);
                doorbells > 0 || state.ended
            });
            state.take_doorbells();
            state.stop_sleeping();
        }
        Ok(state.is_readable().then(|| state.read(buffer, room)))
    }
}

impl Wire for FakeWire {
    fn try_send(&self, parts: &[IoSlice<'_>], _: &[OwnedFd]) -> io::Result<Option<usize>> {
        let mut state = self.state.lock();
        if state.ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if state.full {
            return Ok(None);
        }
        let octets: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
        state.run(&octets);
        state.ring();
        drop(state);
        self.news.notify_all();
        Ok(Some(octets.len()))
    }

    fn recv(
        &self,
        mode: ReadMode,
        buffer: &mut Vec<u8>,
        room: usize,
        _: &mut Vec<Arrival>,
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

    fn watch_again(&self, reads: bool) {
        self.set(|state| state.watch(reads && state.watches.read));
    }

    fn has_rings(&self) -> bool {
        self.state.lock().rings.is_some()
    }

    fn awaits_room(&self) -> bool {
        let mut state = self.state.lock();
        let full = state.full;
        match &mut state.rings {
            Some(rings) => {
                rings.sleeps.write = full;
                full
            }
            None => true,
        }
    }

    fn has_room_again(&self) -> bool {
        let state = self.state.lock();
        state.rings.is_some() && !state.full
    }

    fn unread(&self) -> u64 {
        self.state.lock().input.len() as u64
    }

    fn wait(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<Ready> {
        let mut state = self.state.lock();
        let rings = state.rings.is_some();
        if rings && interest.read {
            state.sleep_reading();
        }
        drop(state);
        let ready = |state: &State| {
            let write = interest.write && !state.full;
            let rung = state
                .rings
                .as_ref()
                .is_some_and(|rings| rings.doorbells > 0);
            interest.read && state.is_readable() || write || rung || deadline.is_some()
        };
        let mut state = self.until(ready);
        let rung = state
            .rings
            .as_ref()
            .is_some_and(|rings| rings.doorbells > 0);
        state.stop_sleeping();
        Ok(Ready {
            read: interest.read && (rung || state.is_readable()),
            write: interest.write && !state.full,
        })
    }

    fn shutdown_write(&self) {}

    fn watch_read(&self, on: bool) {
        self.set(|state| {
            let changes = std::mem::replace(&mut state.watches.read, on) != on;
            state.watch(changes);
        });
    }

    fn watch_write(&self, on: bool) {
        self.set(|state| {
            state.watches.write = on;
            state.watch(false);
        });
    }

    fn tick_at(&self, at: Instant) {
        self.set(|state| state.ticks.push(at));
    }

    fn no_tick_at(&self, at: Instant) {
        self.set(|state| state.ticks.retain(|tick| *tick != at));
    }

    fn signal(&self, _: i32) -> std::io::Result<()> {
        self.set(|state| state.ended = true);
        Ok(())
    }
}

/// A driver with room for so many calls at once.
pub(crate) fn driver(calls: usize) -> Arc<Driver<FakeWire>> {
    driver_with(calls, EventSink::Nobody)
}

pub(crate) fn driver_with(calls: usize, sink: EventSink) -> Arc<Driver<FakeWire>> {
    let courier = Courier::new(handlers(Box::new(|_| Ok(()))));
    new_driver(calls, sink, None, courier)
}

/// Handlers of which only `on_event` does anything.
pub(crate) fn handlers(on_event: OnEvent) -> Handlers {
    Handlers {
        on_event,
        on_error: Box::new(drop),
        on_destroy: None,
    }
}

/// With a time for hello the child is not ready yet.
pub(crate) fn new_driver(
    calls: usize,
    sink: EventSink,
    hello: Option<Duration>,
    courier: Courier,
) -> Arc<Driver<FakeWire>> {
    let limits = Limits {
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
    let core = Core::new(
        Caller::new(None, Vec::new(), limits),
        Reading {
            reader: Reader::new(Form::Plain, limits.frame),
            spin: Spins::new(false),
        },
        Life::new(expected, hello, None, false),
        Delivery::new(sink, events, false),
    );
    Driver::new(core, FakeWire::new(), courier)
}

/// The helper of this driver, until it is told to go. Nothing is done that was
/// not ordered.
pub(crate) fn help(driver: &Driver<FakeWire>) {
    loop {
        let mut state = driver.wire.until(|state| {
            let tick = state.heeds_time && !state.ticks.is_empty();
            let Ready { read, write } = state.event();
            state.over || read || write || tick
        });
        if state.over {
            return;
        }
        let Ready { read, write } = state.event();
        let rings = state.rings.is_some();
        let tick = state.heeds_time.then(|| state.ticks.pop()).flatten();
        drop(state);
        if let Some(at) = tick {
            driver.tick(at);
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
pub(crate) fn call(driver: &Driver<FakeWire>, text: &str) -> Result<u32, Error> {
    let mut parcel = Parcel::new();
    parcel.frame.extend_from_slice(text.as_bytes());
    let called = driver.call(|core| core.call(&mut parcel, true));
    called.map_err(|refusal| match refusal {
        Refusal::Failed(error) => error,
        Refusal::Full => unreachable!("it may wait"),
    })
}

/// Waits for its result.
pub(crate) fn wait(driver: &Driver<FakeWire>, id: u32) -> Result<Payload, Error> {
    driver
        .wait(Want::Call(id), None, |core| core.collect(id))
        .expect("there is no deadline")
}
