//! The parts of one child that the driver and the reactor share: its link, its process, its
//! stdout and stderr.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use super::driver::Driver;
use super::io::Io;
use super::output::{OutputReader, PIPE};
use super::state::ChildState;
use super::state::callback_queue::Callback;
use crate::base::sync::Mutex;
use crate::exit_status::ExitStatus;
use crate::parent::reactor::{Registration, Source, WatchedFd};
use crate::parent::spawn::starter::Starter;
use crate::sys::{Interest, KillOnDrop, Link, ParentLink, PollEvent, Process};

/// See the module.
pub(crate) struct ChildIo {
    link: ParentLink,
    /// Whether calls can carry file descriptors.
    carries: bool,
    process: Option<Process>,
    /// The thread that started the process. It is kept until the process has exited.
    starter: Mutex<Option<Arc<Starter>>>,
    /// The child's stdout and stderr, if they are read in this process.
    outputs: [Mutex<Option<OutputReader>>; 2],
    registration: Registration,
    watching: Mutex<Watching>,
}

/// The process that was started, if any.
#[derive(Default)]
pub(crate) struct Launched {
    pub(crate) process: Option<KillOnDrop>,
    /// The thread that started it, which must live as long.
    pub(crate) starter: Option<Arc<Starter>>,
}

/// The child's stdout and stderr, if they are read in this process.
pub(crate) type Outputs = [Option<OutputReader>; 2];

const OUTPUTS: [WatchedFd; 2] = [WatchedFd::Stdout, WatchedFd::Stderr];

/// The events that the link is watched for.
struct Watching {
    /// Those that the driver asks for.
    wanted: Interest,
    /// With rings: there was something to read when the driver asked, so an event is
    /// to come at once.
    is_now: bool,
    /// Those that the reactor watches the link's file descriptors for.
    told: Interest,
}

impl ChildIo {
    pub(crate) fn new(
        registration: Registration,
        (link, carries): (ParentLink, bool),
        Launched { process, starter }: Launched,
        outputs: Outputs,
    ) -> io::Result<Self> {
        registration.watch(WatchedFd::Link, link.read_fd(), Interest::NONE)?;
        if !link.is_socket() {
            registration.watch(WatchedFd::LinkWrite, link.write_fd(), Interest::NONE)?;
        }
        if let Some(end) = link.end_fd() {
            registration.watch(WatchedFd::LinkEnd, end, Interest::NONE)?;
        }
        if let Some(process) = &process {
            registration.watch(WatchedFd::Exit, process.pidfd(), Interest::READ)?;
        }
        for (watched, output) in OUTPUTS.into_iter().zip(&outputs) {
            if let Some(pipe) = output.as_ref().and_then(|output| output.pipe.as_ref()) {
                registration.watch(watched, pipe.as_fd(), Interest::READ)?;
            }
        }
        Ok(Self {
            link,
            carries,
            process: process.map(KillOnDrop::keep),
            starter: Mutex::new(starter),
            outputs: outputs.map(Mutex::new),
            registration,
            watching: Mutex::new(Watching {
                wanted: Interest::NONE,
                is_now: false,
                told: Interest::NONE,
            }),
        })
    }

    /// Returns whether calls can carry file descriptors.
    pub(crate) fn carries_descriptors(&self) -> bool {
        self.carries
    }

    /// Returns the id of the process that was started.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Tells the reactor what is wanted, if it is something new.
    fn tell(&self, watching: &mut Watching) {
        let interest = self.link.interest(watching.wanted, watching.is_now);
        if std::mem::replace(&mut watching.told, interest) == interest {
            return;
        }
        let link = &self.link;
        // It fails only once this child is deregistered.
        let modify = |watched, fd, interest| drop(self.registration.modify(watched, fd, interest));
        if link.is_socket() {
            return modify(WatchedFd::Link, link.read_fd(), interest);
        }
        let Interest { read, write } = interest;
        let reads = Interest { read, write: false };
        modify(WatchedFd::Link, link.read_fd(), reads);
        if let Some(end) = link.end_fd() {
            modify(WatchedFd::LinkEnd, end, reads);
        }
        modify(
            WatchedFd::LinkWrite,
            link.write_fd(),
            Interest { read: false, write },
        );
    }

    /// Reaps the process if it has exited, and shuts the link: the stream then ends
    /// even if another process still holds the other end.
    fn exited(&self, driver: &Driver<Self>) {
        let Some(status) = self.process.as_ref().and_then(|own| self.reap(own)) else {
            return;
        };
        let mut tail = Vec::new();
        for output in &self.outputs {
            // What another process writes to the pipe from now on is not read.
            let reader = output.lock().take();
            let Some(mut reader) = reader else { continue };
            let (bytes, lines) = reader.end();
            if let Some(pipe) = reader.pipe {
                self.registration.unwatch(pipe.as_fd());
            }
            tail.extend(bytes);
            driver.change(|state| state.callbacks.extend(lines.map(Callback::Lines)));
        }
        driver.change(|state| state.exited(status, tail));
        self.link.shutdown_read();
    }

    /// Returns how the process exited. `None` if it still runs.
    fn reap(&self, process: &Process) -> Option<ExitStatus> {
        let status = match process.try_reap() {
            Ok(status) => status?,
            Err(_) => ExitStatus::Unknown,
        };
        self.registration.unwatch(process.pidfd());
        let starter = self.starter.lock().take();
        drop(starter);
        Some(status)
    }

    fn is_reaped(&self) -> bool {
        let runs = |process: &Process| matches!(process.try_reap(), Ok(None));
        !self.process.as_ref().is_some_and(runs)
    }

    /// Reads the child's stdout or stderr. While a handler runs with lines of it,
    /// the pipe is not watched.
    fn read_output(driver: &Driver<Self>, watched: WatchedFd) {
        let this = &driver.io;
        let mut output = this.output(watched).lock();
        let Some(reader) = &mut *output else { return };
        let is_end = reader.drain(PIPE);
        let weak = driver.downgrade();
        let lines = reader.take_lines(is_end, move || {
            if let Some(driver) = weak.upgrade() {
                driver.io.watch_output(watched, Interest::READ);
            }
        });
        if is_end && let Some(pipe) = reader.pipe.take() {
            this.registration.unwatch(pipe.as_fd());
        }
        drop(output);
        if let Some(lines) = lines {
            this.watch_output(watched, Interest::NONE);
            driver.change(|state| state.callbacks.push(Callback::Lines(lines)));
        }
    }

    fn output(&self, watched: WatchedFd) -> &Mutex<Option<OutputReader>> {
        &self.outputs[usize::from(watched == WatchedFd::Stderr)]
    }

    fn watch_output(&self, watched: WatchedFd, interest: Interest) {
        let output = self.output(watched).lock();
        if let Some(pipe) = output.as_ref().and_then(|reader| reader.pipe.as_ref()) {
            // It fails if the kernel has no memory. What is in the pipe is then read when
            // the child exits.
            let _ = self.registration.modify(watched, pipe.as_fd(), interest);
        }
    }
}

impl Io for ChildIo {
    type Link = ParentLink;

    fn link(&self) -> &ParentLink {
        &self.link
    }
    fn watch_again(&self, reads: bool) {
        let mut watching = self.watching.lock();
        if reads && watching.wanted.read {
            watching.is_now = self.link.sleep_reading();
        }
        self.tell(&mut watching);
    }
    fn watch(&self, read: Option<bool>, write: Option<bool>) {
        let mut watching = self.watching.lock();
        let Interest {
            read: reads,
            write: writes,
        } = watching.wanted;
        watching.wanted.read = read.unwrap_or(reads);
        watching.wanted.write = write.unwrap_or(writes);
        match (reads, watching.wanted.read) {
            (false, true) => watching.is_now = self.link.sleep_reading(),
            (true, false) => {
                watching.is_now = false;
                self.link.stop_watching_reads();
            }
            _ => {}
        }
        self.tell(&mut watching);
    }
    fn tick_at(&self, at: Instant) {
        self.registration.tick_at(at);
    }
    fn cancel_tick(&self, at: Instant) {
        self.registration.cancel_tick(at);
    }
    fn signal(&self, signal: i32) -> io::Result<()> {
        let sent = self.process.as_ref().map(|own| own.signal(signal));
        // The system refuses the signal if the process has changed its user, or in a
        // sandbox. The child then sees the end of its link.
        let refused = |sent: &io::Result<()>| sent.is_err() && signal == libc::SIGKILL;
        if sent.as_ref().is_none_or(refused) {
            // It fails only if the other side is gone already.
            let _ = self.link.cut();
        }
        sent.unwrap_or(Ok(()))
    }
}

impl Source for Driver<ChildIo> {
    fn ready(&self, watched: WatchedFd, event: PollEvent) -> bool {
        match watched {
            WatchedFd::Exit => self.io.exited(self),
            WatchedFd::Stdout | WatchedFd::Stderr => ChildIo::read_output(self, watched),
            WatchedFd::Link if self.io.link.has_rings() => {
                self.doorbell();
                return self.inspect(ChildState::reactor_may_spin);
            }
            WatchedFd::Link | WatchedFd::LinkEnd | WatchedFd::LinkWrite => {
                if event.writable {
                    self.writable();
                }
                if event.readable {
                    self.readable();
                    return self.inspect(ChildState::reactor_may_spin);
                }
            }
        }
        false
    }

    fn tick(&self) {
        let now = Instant::now();
        if self.inspect(|state| state.lifecycle.is_timeout_due(now)) {
            // The child may have exited in time.
            self.io.exited(self);
        }
        self.timer_fired(now);
    }

    fn is_over(&self) -> bool {
        let lifecycle =
            |state: &ChildState| (state.lifecycle.is_over(), state.lifecycle.is_given_up());
        let (is_over, is_given_up) = self.inspect(lifecycle);
        // A process that could not be killed has to be reaped when it exits.
        is_over && (!is_given_up || self.io.is_reaped())
    }

    fn unwatch_all(&self) {
        let ChildIo {
            link, registration, ..
        } = &self.io;
        registration.unwatch(link.read_fd());
        registration.unwatch(link.write_fd());
        if let Some(end) = link.end_fd() {
            registration.unwatch(end);
        }
        if let Some(process) = &self.io.process {
            registration.unwatch(process.pidfd());
        }
        for output in &self.io.outputs {
            let reader = output.lock().take();
            if let Some(pipe) = reader.and_then(|reader| reader.pipe) {
                registration.unwatch(pipe.as_fd());
            }
        }
    }
}
