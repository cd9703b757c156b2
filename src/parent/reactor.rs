//! The reactor: one thread for all children of the process. It sleeps in `epoll`
//! and does the work that no other thread waits for. It reads links that have no
//! leader, writes what a full socket left behind, keeps the time, notices exits,
//! and reads the stdout and stderr that are read in this process.
//!
//! Before the thread sleeps it spins for a moment, as a waiting thread does
//! (`spin.rs`), if a child that it has just read owes further answers.
//!
//! The thread starts with the first child and ends [`LINGER`] after the last one.
//! A program that starts one child after the other thereby keeps one thread. The
//! thread runs no user code except wakers.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::callbacks::Spare;
use crate::base::panics::catch_panic;
use crate::base::spin::Spin;
use crate::base::sync::{Mutex, MutexGuard};
use crate::sys::{self, Interest, PerProcess, PollEvent, Poller};

/// How long the thread waits for another source after the last one was removed. It is longer than `TICK`
/// (`leadership.rs`), after which the thread looks by itself at a link that other threads read. So a program that
/// starts one child after the other neither starts this thread for each child, nor has to wake it.
const LINGER: Duration = Duration::from_millis(15);

/// The file descriptors of a source. The variant is the low bits of its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WatchedFd {
    Link = 0,
    LinkWrite = 1,
    Exit = 2,
    Stdout = 3,
    Stderr = 4,
    LinkEnd = 5,
}

/// How many bits of a token hold the [`WatchedFd`].
const BITS: u32 = 3;

const WATCHED_FDS: [WatchedFd; 6] = [
    WatchedFd::Link,
    WatchedFd::LinkWrite,
    WatchedFd::Exit,
    WatchedFd::Stdout,
    WatchedFd::Stderr,
    WatchedFd::LinkEnd,
];

/// A source that the reactor watches: a child, or a pool.
pub(crate) trait Source: Send + Sync {
    /// Handles an event of the file descriptor `watched`. Returns whether the reactor
    /// may spin before it sleeps.
    fn ready(&self, _watched: WatchedFd, _event: PollEvent) -> bool {
        false
    }
    /// Handles a time that was asked for with [`Registration::tick_at`].
    fn tick(&self);
    /// Returns whether the source is to be deregistered.
    fn is_over(&self) -> bool;
    /// Unwatches all file descriptors. Called once, when the source was deregistered.
    fn unwatch_all(&self) {}
}

/// The place of a source in the reactor.
pub(crate) struct Registration {
    reactor: Arc<Reactor>,
    key: u64,
}

impl Registration {
    fn token(&self, watched: WatchedFd) -> u64 {
        self.key << BITS | watched as u64
    }

    /// Adds a file descriptor of this source to the `epoll` set.
    pub(crate) fn watch(
        &self,
        watched: WatchedFd,
        fd: BorrowedFd<'_>,
        interest: Interest,
    ) -> io::Result<()> {
        let poller = &self.reactor.poller;
        poller.add(fd, self.token(watched), interest)
    }

    /// Changes what the file descriptor is watched for.
    pub(crate) fn modify(
        &self,
        watched: WatchedFd,
        fd: BorrowedFd<'_>,
        interest: Interest,
    ) -> io::Result<()> {
        let poller = &self.reactor.poller;
        poller.modify(fd, self.token(watched), interest)
    }

    /// Removes the file descriptor from the `epoll` set, if it is in it.
    pub(crate) fn unwatch(&self, fd: BorrowedFd<'_>) {
        let _ = self.reactor.poller.delete(fd);
    }

    /// Has [`Source::tick`] called at `at`, unless the source is deregistered by then.
    pub(crate) fn tick_at(&self, at: Instant) {
        let mut state = self.reactor.state.lock();
        if state.add_timer(self.key, at) {
            self.reactor.wake_before(state, at);
        }
    }

    /// Cancels the tick at `at`. This does not wake the thread: if it sleeps until
    /// then, it finds no timer and goes on sleeping.
    pub(crate) fn cancel_tick(&self, at: Instant) {
        let mut state = self.reactor.state.lock();
        state.timers.remove(&(at, self.key));
    }
}

/// See the module.
struct Reactor {
    poller: Poller,
    state: Mutex<ReactorState>,
}

#[derive(Default)]
struct ReactorState {
    sources: HashMap<u64, Arc<dyn Source>>,
    timers: BTreeSet<(Instant, u64)>,
    sleep: Sleep,
    /// When the thread ends. `None` while there are sources.
    ends: Option<Instant>,
    /// The thread has ended.
    over: bool,
    last_key: u64,
}

/// The state of the thread: awake or asleep.
#[derive(Default)]
enum Sleep {
    #[default]
    Awake,
    Until(Instant),
    UntilWoken,
}

impl ReactorState {
    fn next_key(&mut self) -> u64 {
        self.last_key += 1;
        self.last_key
    }

    fn add_timer(&mut self, key: u64, at: Instant) -> bool {
        self.sources.contains_key(&key) && self.timers.insert((at, key))
    }

    /// Removes the timers that are due, and returns their sources, each once.
    fn take_due(&mut self, now: Instant) -> BTreeSet<u64> {
        let mut due = BTreeSet::new();
        while let Some((at, key)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            due.insert(key);
        }
        due
    }

    /// Removes a source and its timers. Timers that stayed would wake the thread
    /// for each child that a program starts and ends.
    fn remove(&mut self, key: u64) -> Option<Arc<dyn Source>> {
        let source = self.sources.remove(&key)?;
        self.timers.retain(|(_, timer)| *timer != key);
        Some(source)
    }
}

/// The reactor whose thread runs. `None` if no thread runs.
static RUNNING: PerProcess<Mutex<Option<Arc<Reactor>>>> = PerProcess::new();

/// Registers the source that `make` returns, and starts the reactor if none runs.
pub(crate) fn register<T: Source + 'static>(
    make: impl FnOnce(Registration) -> io::Result<Arc<T>>,
) -> io::Result<Arc<T>> {
    loop {
        if let Some(reactor) = &*RUNNING.get().lock() {
            return reactor.register(make);
        }
        let (reactor, spare) = Reactor::start()?;
        reactor.install(spare);
    }
}

impl Reactor {
    /// Starts a reactor and the spare of the callbacks. They end after [`LINGER`] unless they are installed.
    fn start() -> io::Result<(Arc<Self>, Spare)> {
        let reactor = Arc::new(Self {
            poller: Poller::new()?,
            state: Mutex::new(ReactorState {
                ends: Some(Instant::now() + LINGER),
                ..ReactorState::default()
            }),
        });
        let spare = Spare::start()?;
        let own = Arc::clone(&reactor);
        sys::spawn_thread("offspring-reactor", move || own.run())?;
        Ok((reactor, spare))
    }

    /// Makes this the reactor of the process, unless another thread was faster, or this one has already ended.
    fn install(self: Arc<Self>, spare: Spare) {
        let mut running = RUNNING.get().lock();
        if running.is_none() && !self.state.lock().over {
            spare.install();
            *running = Some(self);
        }
    }

    /// Registers a source. The caller holds the lock on [`RUNNING`].
    fn register<T: Source + 'static>(
        self: &Arc<Self>,
        make: impl FnOnce(Registration) -> io::Result<Arc<T>>,
    ) -> io::Result<Arc<T>> {
        let key = self.state.lock().next_key();
        let made = make(Registration {
            reactor: Arc::clone(self),
            key,
        });
        // An event before the next lines finds no source. `epoll` is level-triggered, so the event comes again.
        let source = made?;
        let mut state = self.state.lock();
        state.sources.insert(key, source.clone());
        state.ends = None;
        drop(state);
        Ok(source)
    }

    /// Wakes the thread if it sleeps beyond `at`.
    fn wake_before(&self, mut state: MutexGuard<'_, ReactorState>, at: Instant) {
        let oversleeps = match state.sleep {
            Sleep::Awake => false,
            Sleep::Until(until) => at < until,
            Sleep::UntilWoken => true,
        };
        if oversleeps {
            state.sleep = Sleep::Awake;
            drop(state);
            self.wake();
        }
    }

    fn wake(&self) {
        // It fails only if the counter is full, and then the thread is awake.
        let _ = self.poller.notify();
    }

    /// Removes a source. Only the reactor's thread calls this, and then sees whether it was the last.
    fn deregister(&self, key: u64) {
        let source = self.state.lock().remove(key);
        if let Some(source) = source {
            source.unwatch_all();
        }
    }

    fn run(&self) {
        let mut events = Vec::new();
        let mut spin = Spin::new(true);
        let mut expects = false;
        loop {
            let look = || self.poller.look(&mut events).ok()?.then_some(());
            if !expects || spin.wait_for(look).is_none() {
                let until = self.fall_asleep();
                // It fails if the kernel has no memory. The loop then tries again.
                let _ = self.poller.wait(&mut events, until);
                self.state.lock().sleep = Sleep::Awake;
            }
            self.run_timers();
            expects = false;
            for event in events.drain(..) {
                expects |= self.dispatch(event);
            }
            if self.ends() {
                return;
            }
        }
    }

    fn fall_asleep(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        let timer = state.timers.first().map(|(at, _)| *at);
        let until = [timer, state.ends].into_iter().flatten().min();
        state.sleep = until.map_or(Sleep::UntilWoken, Sleep::Until);
        until
    }

    /// Ticks each source whose timer is due, once. A source that asks for another tick
    /// at once waits until the other sources had their turn.
    fn run_timers(&self) {
        let due = self.state.lock().take_due(Instant::now());
        for key in due {
            self.with(key, |source| source.tick());
        }
    }

    fn dispatch(&self, event: PollEvent) -> bool {
        let watched = WATCHED_FDS[(event.token & ((1 << BITS) - 1)) as usize];
        let ready = |source: &dyn Source| source.ready(watched, event);
        self.with(event.token >> BITS, ready).unwrap_or_default()
    }

    fn with<T>(&self, key: u64, act: impl FnOnce(&dyn Source) -> T) -> Option<T> {
        let source = self.state.lock().sources.get(&key).cloned()?;
        // Whatever goes wrong with one source, the others are served.
        let value = catch_panic(|| act(&*source)).ok();
        if source.is_over() {
            self.deregister(key);
        }
        value
    }

    /// Returns whether the thread ends, because there has been no source for
    /// [`LINGER`]. The lock on [`RUNNING`] keeps a new source from being registered
    /// meanwhile.
    fn ends(&self) -> bool {
        let mut running = RUNNING.get().lock();
        let mut state = self.state.lock();
        if !state.sources.is_empty() {
            state.ends = None;
            return false;
        }
        let now = Instant::now();
        state.over = *state.ends.get_or_insert(now + LINGER) <= now;
        let is_installed = (running.as_deref()).is_some_and(|own| std::ptr::eq(own, self));
        if state.over && is_installed {
            Spare::uninstall();
            *running = None;
        }
        state.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Source for Nothing {
        fn tick(&self) {}
        fn is_over(&self) -> bool {
            false
        }
    }

    /// A source that panics at each tick, or tells of it.
    struct Ticks(Option<std::sync::mpsc::Sender<()>>, Registration);

    impl Source for Ticks {
        fn tick(&self) {
            let tells = self.0.as_ref().expect("on purpose");
            let _ = tells.send(());
        }
        fn is_over(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_source_that_panics_harms_no_other() {
        let (sender, ticks) = std::sync::mpsc::channel();
        for tells in [None, Some(sender)] {
            let source = register(|own| Ok(Arc::new(Ticks(tells, own)))).unwrap();
            source.1.tick_at(Instant::now());
        }
        assert_eq!(ticks.recv(), Ok(()));
    }

    fn until_over(reactor: &Reactor) {
        while !reactor.state.lock().over {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_reactor_that_is_not_installed_ends_alone() {
        let (sender, ticks) = std::sync::mpsc::channel();
        let source = register(|own| Ok(Arc::new(Ticks(Some(sender), own)))).unwrap();
        let (second, spare) = Reactor::start().unwrap();
        Arc::clone(&second).install(spare);
        until_over(&second);
        let running = RUNNING.get().lock().clone().unwrap();
        assert!(Arc::ptr_eq(&running, &source.1.reactor));
        source.1.tick_at(Instant::now());
        ticks.recv().unwrap();
    }

    #[test]
    fn a_reactor_that_has_ended_is_not_installed() {
        let (reactor, spare) = Reactor::start().unwrap();
        until_over(&reactor);
        let own = Arc::downgrade(&reactor);
        reactor.install(spare);
        let running = RUNNING.get().lock().clone();
        assert!(running.is_none_or(|other| !std::ptr::eq(&raw const *other, own.as_ptr())));
    }

    #[test]
    fn reactors_that_start_at_the_same_time() {
        let (sender, ticks) = std::sync::mpsc::channel();
        let sender = &sender;
        let all = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    all.wait();
                    let make = |own| Ok(Arc::new(Ticks(Some(sender.clone()), own)));
                    register(make).unwrap().1.tick_at(Instant::now());
                });
            }
        });
        for _ in 0..4 {
            ticks.recv().unwrap();
        }
    }

    #[test]
    fn a_source_is_removed_with_its_timers() {
        let mut state = ReactorState::default();
        let now = Instant::now();
        let later = |ms| now + Duration::from_millis(ms);
        for key in 0..2 {
            state.sources.insert(key, Arc::new(Nothing));
            for ms in [1, 2, 3] {
                assert!(state.add_timer(key, later(ms)));
            }
        }
        assert!(state.take_due(now).is_empty());
        assert!(state.remove(0).is_some());
        assert!(!state.add_timer(0, now));
        let left: Vec<_> = state.timers.iter().copied().collect();
        assert_eq!(left, [1, 2, 3].map(|ms| (later(ms), 1)));
        assert_eq!(
            state.take_due(later(2)).into_iter().collect::<Vec<_>>(),
            [1]
        );
        assert_eq!(state.timers.len(), 1);
    }
}
