//! One child as the helper sees it: the link, the process, its stderr.

use std::io::{self, IoSlice, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ChildStderr;
use std::sync::Arc;
use std::time::Instant;

use super::driver::Driver;
use super::state::Core;
use super::wire::Wire;
use crate::base::sync::Mutex;
use crate::exit_status::ExitStatus;
use crate::parent::helper::{Helper, Source, Tended};
use crate::parent::spawn::starter::Starter;
use crate::sys::{Arrival, Fresh, Interest, Link, PollEvent, Process, Ready, Status};

/// What a pipe holds, in bytes, unless its size was changed.
const PIPE: usize = 64 << 10;
/// What a pipe holds at most, in bytes, if its size was changed without privileges.
const PIPE_MOST: usize = 1 << 20;

/// The end of what a child writes to its stderr.
#[derive(Debug)]
pub(crate) struct Capture {
    pipe: Option<ChildStderr>,
    tail: Vec<u8>,
    keep: usize,
}

impl Capture {
    pub(crate) fn new(pipe: ChildStderr, keep: usize) -> io::Result<Self> {
        crate::sys::set_nonblocking(pipe.as_fd())?;
        Ok(Self {
            pipe: Some(pipe),
            tail: Vec::new(),
            keep,
        })
    }

    /// Reads what is there, but not much more than `most` bytes: the writer may be as fast as this. Returns whether it
    /// has ended.
    fn drain(&mut self, most: usize) -> bool {
        let mut piece = [0; 4096];
        let mut count = 0;
        while count < most {
            let Some(pipe) = &mut self.pipe else {
                return true;
            };
            match pipe.read(&mut piece) {
                Ok(0) => return true,
                Ok(came) => {
                    count += came;
                    self.tail.extend_from_slice(&piece[..came]);
                    // What is kept is moved once for as many bytes as are kept, and not for each piece.
                    if self.tail.len() / 2 > self.keep.max(piece.len()) {
                        self.shorten();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        false
    }

    fn shorten(&mut self) {
        let over = self.tail.len().saturating_sub(self.keep);
        self.tail.drain(..over);
    }
}

/// The link to one child, and the helper's part in it.
#[derive(Debug)]
pub(crate) struct Connection {
    link: Link,
    /// Descriptors can go along with calls.
    carries: bool,
    process: Option<Process>,
    /// What has started the process stays until it has exited.
    starter: Mutex<Option<Arc<Starter>>>,
    capture: Mutex<Option<Capture>>,
    helper: Arc<Helper>,
    key: u64,
    watching: Mutex<Watching>,
}

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
        capture: Option<Capture>,
    ) -> io::Result<Self> {
        helper.add(key, Source::Link, link.read_fd(), Interest::NONE)?;
        if !link.is_socket() {
            helper.add(key, Source::LinkWrite, link.write_fd(), Interest::NONE)?;
        }
        if let Some(process) = &process {
            helper.add(key, Source::Exit, process.pidfd(), Interest::READ)?;
        }
        if let Some(pipe) = capture.as_ref().and_then(|capture| capture.pipe.as_ref()) {
            helper.add(key, Source::Stderr, pipe.as_fd(), Interest::READ)?;
        }
        Ok(Self {
            link,
            carries,
            process: process.map(Fresh::keep),
            starter: Mutex::new(starter),
            capture: Mutex::new(capture),
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
        let Some((status, stderr)) = self.process.as_ref().and_then(|own| self.reap(own)) else {
            return;
        };
        driver.change(|core| core.exited(status, stderr));
        self.link.shutdown_read();
    }

    /// How the process has exited, if it has, and the end of its stderr.
    fn reap(&self, process: &Process) -> Option<(ExitStatus, Vec<u8>)> {
        let status = match process.try_reap() {
            Ok(status) => status?,
            Err(_) => Status::Unknown,
        };
        self.helper.delete(process.pidfd());
        let starter = self.starter.lock().take();
        drop(starter);
        Some((status.into(), self.take_stderr()))
    }

    fn is_reaped(&self) -> bool {
        let runs = |process: &Process| matches!(process.try_reap(), Ok(None));
        !self.process.as_ref().is_some_and(runs)
    }

    fn take_stderr(&self) -> Vec<u8> {
        let mut capture = self.capture.lock();
        let Some(capture) = &mut *capture else {
            return Vec::new();
        };
        capture.drain(PIPE_MOST);
        capture.shorten();
        capture.tail.clone()
    }

    fn drain_stderr(&self) {
        let mut capture = self.capture.lock();
        let Some(capture) = &mut *capture else { return };
        if capture.drain(PIPE)
            && let Some(pipe) = capture.pipe.take()
        {
            self.helper.delete(pipe.as_fd());
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
    fn send(&self, parts: &[IoSlice<'_>], descriptors: &[OwnedFd]) -> io::Result<Option<usize>> {
        self.link.send(parts, descriptors)
    }
    fn recv(
        &self,
        buffer: &mut Vec<u8>,
        room: usize,
        arrivals: &mut Vec<Arrival>,
    ) -> io::Result<Option<usize>> {
        self.link.recv(buffer, room, arrivals)
    }
    fn try_recv(
        &self,
        buffer: &mut Vec<u8>,
        room: usize,
        arrivals: &mut Vec<Arrival>,
    ) -> io::Result<Option<usize>> {
        self.link.try_recv(buffer, room, arrivals)
    }
    fn look(
        &self,
        buffer: &mut Vec<u8>,
        room: usize,
        arrivals: &mut Vec<Arrival>,
    ) -> io::Result<Option<usize>> {
        self.link.look(buffer, room, arrivals)
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
            self.link.shutdown_read();
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
            Source::Stderr => driver.wire.drain_stderr(),
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
        let capture = wire.capture.lock().take();
        if let Some(pipe) = capture.and_then(|capture| capture.pipe) {
            helper.delete(pipe.as_fd());
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// X80: a child that writes as fast as it is read holds nobody up.
    #[test]
    fn stderr_is_read_in_turns() {
        let (read, mut write) = io::pipe().unwrap();
        let size = nix::fcntl::FcntlArg::F_SETPIPE_SZ(PIPE_MOST as i32);
        nix::fcntl::fcntl(&write, size).unwrap();
        let all: Vec<u8> = (0..PIPE_MOST).map(|n| (n % 251) as u8).collect();
        write.write_all(&all).unwrap();
        let mut capture = Capture::new(OwnedFd::from(read).into(), 3 * PIPE).unwrap();
        assert!(!capture.drain(PIPE));
        assert_eq!(capture.tail, all[..PIPE]);
        while capture.tail.len() < 6 * PIPE {
            assert!(!capture.drain(PIPE));
        }
        assert!(!capture.drain(PIPE_MOST));
        assert!(capture.tail.len() <= 6 * PIPE + 4096);
        capture.shorten();
        assert_eq!(capture.tail, all[PIPE_MOST - 3 * PIPE..]);
        drop(write);
        assert!(capture.drain(PIPE));
    }
}
