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
use crate::sys::{Arrival, Interest, Ready};

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
    /// The socket takes nothing.
    full: bool,
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

impl FakeWire {
    fn new() -> Self {
        let state = State {
            reader: Reader::new(Form::Plain, 1 << 20),
            requests: Requests::default(),
            input: Vec::new(),
            ended: false,
            full: false,
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
        drop(state);
        self.news.notify_all();
        value
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

    fn read(&mut self, buffer: &mut Vec<u8>, room: usize) -> usize {
        let count = self.input.len().min(room);
        buffer.extend(self.input.drain(..count));
        count
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
        drop(state);
        self.news.notify_all();
        Ok(Some(octets.len()))
    }

    fn recv(
        &self,
        buffer: &mut Vec<u8>,
        room: usize,
        _: &mut Vec<Arrival>,
    ) -> io::Result<Option<usize>> {
        Ok(Some(self.until(State::is_readable).read(buffer, room)))
    }

    fn try_recv(
        &self,
        buffer: &mut Vec<u8>,
        room: usize,
        _: &mut Vec<Arrival>,
    ) -> io::Result<Option<usize>> {
        let mut state = self.state.lock();
        let readable = state.is_readable();
        state.idle_reads += usize::from(!readable);
        Ok(readable.then(|| state.read(buffer, room)))
    }

    fn unread(&self) -> u64 {
        self.state.lock().input.len() as u64
    }

    fn wait(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<Ready> {
        let ready = |state: &State| {
            let write = interest.write && !state.full;
            interest.read && state.is_readable() || write || deadline.is_some()
        };
        let state = self.until(ready);
        Ok(Ready {
            read: interest.read && state.is_readable(),
            write: interest.write && !state.full,
        })
    }

    fn shutdown_write(&self) {}

    fn watch_read(&self, on: bool) {
        self.set(|state| state.watches.read = on);
    }

    fn watch_write(&self, on: bool) {
        self.set(|state| state.watches.write = on);
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
            let read = state.watches.read && state.is_readable();
            let write = state.watches.write && !state.full;
            let tick = state.heeds_time && !state.ticks.is_empty();
            state.over || read || write || tick
        });
        if state.over {
            return;
        }
        let read = state.watches.read && state.is_readable();
        let write = state.watches.write && !state.full;
        let tick = state.heeds_time.then(|| state.ticks.pop()).flatten();
        drop(state);
        if let Some(at) = tick {
            driver.tick(at);
        }
        if write {
            driver.writable();
        }
        if read {
            driver.readable();
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
