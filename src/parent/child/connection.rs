//! One child as the helper sees it: the link, the process, its stdout and
//! stderr.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use super::driver::Driver;
use super::output::{PIPE, Reader};
use super::state::Core;
use super::state::delivery::Item;
use super::wire::Wire;
use crate::base::sync::Mutex;
use crate::exit_status::ExitStatus;
use crate::parent::helper::{Helper, Source, Tended};
use crate::parent::spawn::starter::Starter;
use crate::sys::{Arrival, Fresh, Interest, Link, PollEvent, Process, ReadMode, Ready, Status};

/// The link to one child, and the helper's part in it.
#[derive(Debug)]
pub(crate) struct Connection {
    link: Link,
    /// Descriptors can go along with calls.
    carries: bool,
    process: Option<Process>,
    /// What has started the process stays until it has exited.
    starter: Mutex<Option<Arc<Starter>>>,
    /// The child's stdout and stderr, as far as they are read here.
    outputs: [Mutex<Option<Reader>>; 2],
    helper: Arc<Helper>,
    key: u64,
    watching: Mutex<Watching>,
}

/// What of a child's stdout and stderr is read here.
pub(crate) type Outputs = [Option<Reader>; 2];

const OUTPUTS: [Source; 2] = [Source::Stdout, Source::Stderr];

/// What of the link is watched.
#[derive(Debug)]
struct Watching {
    /// What the driver asks for.
    wanted: Interest,
    /// With rings, there was something to read when it was asked for: an event is to
    /// come at once.
    is_now: bool,
    /// What the helper watches its descriptors for.
    told: Interest,
}

impl Connection {
    pub(crate) fn new(
        helper: &Arc<Helper>,
        key: u64,
        (link, carries): (Link, bool),
        (process, starter): (Option<Fresh>, Option<Arc<Starter>>),
        outputs: Outputs,
    ) -> io::Result<Self> {
        helper.add(key, Source::Link, link.read_fd(), Interest::NONE)?;
        if !link.is_socket() {
            helper.add(key, Source::LinkWrite, link.write_fd(), Interest::NONE)?;
        }
        if let Some(process) = &process {
            helper.add(key, Source::Exit, process.pidfd(), Interest::READ)?;
        }
        for (source, output) in OUTPUTS.into_iter().zip(&outputs) {
            if let Some(pipe) = output.as_ref().and_then(|output| output.pipe.as_ref()) {
                helper.add(key, source, pipe.as_fd(), Interest::READ)?;
            }
        }
        Ok(Self {
            link,
            carries,
            process: process.map(Fresh::keep),
            starter: Mutex::new(starter),
            outputs: outputs.map(Mutex::new),
            helper: Arc::clone(helper),
            key,
            watching: Mutex::new(Watching {
                wanted: Interest::NONE,
                is_now: false,
                told: Interest::NONE,
            }),
        })
    }

    /// Descriptors can go along with calls.
    pub(crate) fn carries_descriptors(&self) -> bool {
        self.carries
    }

    /// The process that was started.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    fn watch(&self, change: impl FnOnce(&mut Interest)) {
        let mut watching = self.watching.lock();
        let before = watching.wanted.read;
        change(&mut watching.wanted);
        match (before, watching.wanted.read) {
            (false, true) => watching.is_now = self.link.sleep_reading(),
            (true, false) => {
                watching.is_now = false;
                self.link.stop_watching_reads();
            }
            _ => {}
        }
        self.tell(&mut watching);
    }

    /// Has the helper watch for what is wanted.
    fn tell(&self, watching: &mut Watching) {
        let interest = self.link.interest(watching.wanted, watching.is_now);
        if std::mem::replace(&mut watching.told, interest) == interest {
            return;
        }
        if self.link.is_socket() {
            return self.modify(Source::Link, interest);
        }
        let Interest { read, write } = interest;
        self.modify(Source::Link, Interest { read, write: false });
        self.modify(Source::LinkWrite, Interest { read: false, write });
    }

    fn modify(&self, source: Source, interest: Interest) {
        let fd = if source == Source::LinkWrite {
            self.link.write_fd()
        } else {
            self.link.read_fd()
        };
        // It fails only once the helper has forgotten this child.
        let _ = self.helper.modify(self.key, source, fd, interest);
    }

    /// The process has exited, if it really has: takes its status, and makes
    /// the stream end even if somebody else still holds the other end.
    fn exited(&self, driver: &Driver<Self>) {
        let Some(status) = self.process.as_ref().and_then(|own| self.reap(own)) else {
            return;
        };
        let mut tail = Vec::new();
        for output in &self.outputs {
            // Another process may hold the pipe, and is not read any more.
            let reader = output.lock().take();
            let Some(mut reader) = reader else { continue };
            let (bytes, lines) = reader.end();
            if let Some(pipe) = reader.pipe {
                self.helper.delete(pipe.as_fd());
            }
            tail.extend(bytes);
            driver.change(|core| core.delivery.extend(lines.map(Item::Output)));
        }
        driver.change(|core| core.exited(status, tail));
        self.link.shutdown_read();
    }

    /// How the process has exited, if it has.
    fn reap(&self, process: &Process) -> Option<ExitStatus> {
        let status = match process.try_reap() {
            Ok(status) => status?,
            Err(_) => Status::Unknown,
        };
        self.helper.delete(process.pidfd());
        let starter = self.starter.lock().take();
        drop(starter);
        Some(status.into())
    }

    fn is_reaped(&self) -> bool {
        let runs = |process: &Process| matches!(process.try_reap(), Ok(None));
        !self.process.as_ref().is_some_and(runs)
    }

    /// Reads what has come on the child's stdout or stderr. While lines of it
    /// are handed on, no more are read.
    fn read_output(driver: &Arc<Driver<Self>>, source: Source) {
        let this = &driver.wire;
        let mut output = this.output(source).lock();
        let Some(reader) = &mut *output else { return };
        let is_end = reader.drain(PIPE);
        let weak = Arc::downgrade(driver);
        let lines = reader.take_lines(is_end, move || {
            if let Some(driver) = weak.upgrade() {
                driver.wire.watch_output(source, Interest::READ);
            }
        });
        if is_end && let Some(pipe) = reader.pipe.take() {
            this.helper.delete(pipe.as_fd());
        }
        drop(output);
        if let Some(lines) = lines {
            this.watch_output(source, Interest::NONE);
            driver.change(|core| core.delivery.push(Item::Output(lines)));
        }
    }

    fn output(&self, source: Source) -> &Mutex<Option<Reader>> {
        &self.outputs[usize::from(source == Source::Stderr)]
    }

    fn watch_output(&self, source: Source, interest: Interest) {
        let output = self.output(source).lock();
        if let Some(pipe) = output.as_ref().and_then(|reader| reader.pipe.as_ref()) {
            // If the system has no memory for it, what comes is read when the child exits.
            let _ = self.helper.modify(self.key, source, pipe.as_fd(), interest);
        }
    }
}

impl Wire for Connection {
    fn try_send(
        &self,
        parts: &[IoSlice<'_>],
        descriptors: &[OwnedFd],
    ) -> io::Result<Option<usize>> {
        self.link.try_send(parts, descriptors)
    }
    fn recv(
        &self,
        mode: ReadMode,
        buffer: &mut Vec<u8>,
        room: usize,
        arrivals: &mut Vec<Arrival>,
    ) -> io::Result<Option<usize>> {
        self.link.recv(mode, buffer, room, arrivals)
    }
    fn accept_rings(&self, bytes: &[u8], arrivals: Vec<Arrival>) {
        self.link.accept_rings(bytes, arrivals);
    }
    fn refuse_rings(&self) -> Vec<u8> {
        self.link.refuse_rings()
    }
    fn take_doorbells(&self) {
        self.link.take_doorbells();
    }
    fn watch_again(&self, reads: bool) {
        let mut watching = self.watching.lock();
        if reads && watching.wanted.read {
            watching.is_now = self.link.sleep_reading();
        }
        self.tell(&mut watching);
    }
    fn has_rings(&self) -> bool {
        self.link.has_rings()
    }
    fn awaits_room(&self) -> bool {
        self.link.awaits_room()
    }
    fn has_room_again(&self) -> bool {
        self.link.has_room_again()
    }
    fn unread(&self) -> u64 {
        self.link.unread()
    }
    fn wait(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<Ready> {
        self.link.wait(interest, deadline)
    }
    fn shutdown_write(&self) {
        // It fails only where the other side is gone already.
        let _ = self.link.shutdown_write();
    }
    fn watch_read(&self, on: bool) {
        self.watch(|interest| interest.read = on);
    }
    fn watch_write(&self, on: bool) {
        self.watch(|interest| interest.write = on);
    }
    fn tick_at(&self, at: Instant) {
        self.helper.tick_at(self.key, at);
    }
    fn no_tick_at(&self, at: Instant) {
        self.helper.no_tick_at(self.key, at);
    }
    fn signal(&self, signal: i32) -> io::Result<()> {
        let Some(process) = &self.process else {
            // It fails where the other side is gone already.
            let _ = self.link.cut();
            return Ok(());
        };
        let sent = process.signal(signal);
        // A process that has become another user's may refuse, or a sandbox.
        // Then the child hears that its link has ended.
        if sent.is_err() && signal == libc::SIGKILL {
            // It fails where the other side is gone already.
            let _ = self.link.cut();
        }
        sent
    }
}

/// What the helper is given.
#[derive(Debug)]
pub(crate) struct Charge(pub(crate) Arc<Driver<Connection>>);

impl Tended for Charge {
    fn ready(&self, source: Source, event: PollEvent) -> bool {
        let driver = &*self.0;
        match source {
            Source::Exit => driver.wire.exited(driver),
            Source::Stdout | Source::Stderr => Connection::read_output(&self.0, source),
            Source::Link if driver.wire.has_rings() => {
                driver.doorbell();
                return driver.look(Core::helper_may_look);
            }
            Source::Link | Source::LinkWrite => {
                if event.writable {
                    driver.writable();
                }
                if event.readable {
                    driver.readable();
                    return driver.look(Core::helper_may_look);
                }
            }
        }
        false
    }

    fn tick(&self) {
        let now = Instant::now();
        if self.0.look(|core| core.life.is_alarm_due(now)) {
            // The child may have exited in time.
            self.0.wire.exited(&self.0);
        }
        self.0.tick(now);
    }

    fn is_over(&self) -> bool {
        let life = |core: &Core| (core.life.is_over(), core.life.is_given_up());
        let (is_over, is_given_up) = self.0.look(life);
        // One that could not be killed has to be reaped when it ends.
        is_over && (!is_given_up || self.0.wire.is_reaped())
    }

    fn forget(&self, helper: &Helper) {
        let wire = &self.0.wire;
        helper.delete(wire.link.read_fd());
        if let Some(process) = &wire.process {
            helper.delete(process.pidfd());
        }
        if !wire.link.is_socket() {
            helper.delete(wire.link.write_fd());
        }
        for output in &wire.outputs {
            let reader = output.lock().take();
            if let Some(pipe) = reader.and_then(|reader| reader.pipe) {
                helper.delete(pipe.as_fd());
            }
        }
    }
}

impl From<Status> for ExitStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Exited(code) => Self::Code(code),
            Status::Signalled { signal, core } => Self::Signal {
                number: signal,
                core_dumped: core,
            },
            Status::Unknown => Self::Unknown,
        }
    }
}
