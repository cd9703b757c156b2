//! The helper: one thread for all children of the process, which sleeps in
//! `epoll` and does what nobody waits for. It reads links with no leader,
//! writes what a full socket left behind, keeps the time, notices that a child
//! has exited, and reads its stdout and stderr if they are read here. Before it sleeps it looks
//! for a moment, as a thread that waits does (`spin.rs`), if a child that it has
//! just read owes it more.
//!
//! It is started with the first child and gone soon after the last: it lingers
//! for [`LINGER`], since who starts one child after the other would start it
//! each time. It runs no code of the user's except wakers.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::callbacks;
use crate::base::spin::Spin;
use crate::base::sync::{Mutex, MutexGuard};
use crate::sys::{self, Interest, PerProcess, PollEvent, Poller};

/// How long it waits for another child when the last is gone: longer than it
/// takes until it looks around anyway after a call.
const LINGER: Duration = Duration::from_millis(15);

/// What an event of a child is about; the low bits of its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Link = 0,
    LinkWrite = 1,
    Exit = 2,
    Stdout = 3,
    Stderr = 4,
}

/// How many bits of a token say which source it is.
const BITS: u32 = 3;

const SOURCES: [Source; 5] = [
    Source::Link,
    Source::LinkWrite,
    Source::Exit,
    Source::Stdout,
    Source::Stderr,
];

/// What the helper looks after.
pub(crate) trait Tended: Send + Sync {
    /// One of its descriptors is ready.
    /// True if it may pay to look for more before sleeping.
    fn ready(&self, source: Source, event: PollEvent) -> bool;
    /// A time it asked for has come.
    fn tick(&self);
    /// The helper may forget it.
    fn is_over(&self) -> bool;
    /// The helper forgets it: its descriptors are to be taken out.
    fn forget(&self, helper: &Helper);
}

/// See the module.
pub(crate) struct Helper {
    poller: Poller,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tended: HashMap<u64, Arc<dyn Tended>>,
    timers: BTreeSet<(Instant, u64)>,
    sleep: Sleep,
    /// Nobody is left; when it ends.
    ends: Option<Instant>,
    keys: u64,
}

/// What the thread does.
#[derive(Default)]
enum Sleep {
    #[default]
    Awake,
    Until(Instant),
    UntilWoken,
}

impl State {
    fn add_timer(&mut self, key: u64, at: Instant) -> bool {
        self.tended.contains_key(&key) && self.timers.insert((at, key))
    }

    /// The children whose timers are due, each once. These timers are gone.
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

    /// Forgets a child, and its timers: else who starts one child after the other
    /// has the thread woken for each of them once more.
    fn forget(&mut self, key: u64) -> Option<Arc<dyn Tended>> {
        let tended = self.tended.remove(&key)?;
        self.timers.retain(|(_, own)| *own != key);
        Some(tended)
    }
}

/// The one that runs, if one does.
static RUNNING: PerProcess<Mutex<Option<Arc<Helper>>>> = PerProcess::new();

impl std::fmt::Debug for Helper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Helper")
    }
}

impl Helper {
    /// Gives a new child to the helper, which is started if none runs. `make`
    /// gets the key that stands for the child.
    pub(crate) fn attach<T: Tended + 'static>(
        make: impl FnOnce(&Arc<Self>, u64) -> io::Result<Arc<T>>,
    ) -> io::Result<Arc<T>> {
        let mut running = RUNNING.get().lock();
        let helper = match &*running {
            Some(helper) => Arc::clone(helper),
            None => Self::start()?,
        };
        let key = {
            let mut state = helper.state.lock();
            state.keys += 1;
            state.keys
        };
        *running = Some(Arc::clone(&helper));
        let made = make(&helper, key);
        match &made {
            // What is ready already stays so until the helper knows whose it is.
            Ok(tended) => {
                let mut state = helper.state.lock();
                state.tended.insert(key, tended.clone());
                state.ends = None;
            }
            // The helper may have been started for nothing: let it look.
            Err(_) => helper.look_around(),
        }
        made
    }

    fn start() -> io::Result<Arc<Self>> {
        let helper = Arc::new(Self {
            poller: Poller::new()?,
            state: Mutex::default(),
        });
        callbacks::start_spare()?;
        let own = Arc::clone(&helper);
        sys::spawn_thread("offspring-helper", move || own.run())
            .inspect_err(|_| callbacks::end_spare())?;
        Ok(helper)
    }

    fn token(key: u64, source: Source) -> u64 {
        key << BITS | source as u64
    }

    /// Watches a descriptor of this child.
    pub(crate) fn add(
        &self,
        key: u64,
        source: Source,
        fd: BorrowedFd<'_>,
        interest: Interest,
    ) -> io::Result<()> {
        self.poller.add(fd, Self::token(key, source), interest)
    }

    /// Watches it for something else.
    pub(crate) fn modify(
        &self,
        key: u64,
        source: Source,
        fd: BorrowedFd<'_>,
        interest: Interest,
    ) -> io::Result<()> {
        self.poller.modify(fd, Self::token(key, source), interest)
    }

    /// Stops watching it.
    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) {
        // It may have been taken out before.
        let _ = self.poller.delete(fd);
    }

    /// This child is to be looked at then, unless it is forgotten already.
    pub(crate) fn tick_at(&self, key: u64, at: Instant) {
        let mut state = self.state.lock();
        if state.add_timer(key, at) {
            self.rouse(state, at);
        }
    }

    /// It need not be looked at then. The thread is not woken for it: if it sleeps
    /// until then, it finds that out by itself.
    pub(crate) fn no_tick_at(&self, key: u64, at: Instant) {
        self.state.lock().timers.remove(&(at, key));
    }

    /// Wakes the thread if it would sleep beyond that time.
    fn rouse(&self, mut state: MutexGuard<'_, State>, at: Instant) {
        let oversleeps = match state.sleep {
            Sleep::Awake => false,
            Sleep::Until(until) => at < until,
            Sleep::UntilWoken => true,
        };
        if oversleeps {
            state.sleep = Sleep::Awake;
            drop(state);
            self.look_around();
        }
    }

    /// Forgets a child that is over.
    fn dismiss(&self, key: u64) {
        let mut state = self.state.lock();
        let Some(tended) = state.forget(key) else {
            return;
        };
        if state.tended.is_empty() {
            let ends = Instant::now() + LINGER;
            state.ends = Some(ends);
            self.rouse(state, ends);
        } else {
            drop(state);
        }
        tended.forget(self);
    }

    fn look_around(&self) {
        // Only a full counter can fail, and then it is awake.
        let _ = self.poller.notify();
    }

    fn run(&self) {
        let mut events = Vec::new();
        let mut spin = Spin::new(true);
        let mut expects = false;
        loop {
            let look = || self.poller.look(&mut events).ok()?.then_some(());
            if !expects || spin.look(look).is_none() {
                let until = self.fall_asleep();
                // What can fail here is memory for the kernel; then look around.
                let _ = self.poller.wait(&mut events, until);
                self.state.lock().sleep = Sleep::Awake;
            }
            self.fire();
            expects = false;
            for event in events.drain(..) {
                expects |= self.pass_on(event);
            }
            if self.stop() {
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

    /// Ticks each child whose time has come, once: one that asks to be ticked
    /// again at once waits until the other children had their turn.
    fn fire(&self) {
        let due = self.state.lock().take_due(Instant::now());
        for key in due {
            self.with(key, |tended| tended.tick());
        }
    }

    fn pass_on(&self, event: PollEvent) -> bool {
        let source = SOURCES[(event.token & ((1 << BITS) - 1)) as usize];
        let ready = |tended: &dyn Tended| tended.ready(source, event);
        self.with(event.token >> BITS, ready).unwrap_or_default()
    }

    fn with<T>(&self, key: u64, act: impl FnOnce(&dyn Tended) -> T) -> Option<T> {
        let tended = self.state.lock().tended.get(&key).cloned()?;
        let value = act(&*tended);
        if tended.is_over() {
            self.dismiss(key);
        }
        Some(value)
    }

    /// Nobody has been left for a while: the thread ends. Under the lock that
    /// hands children out.
    fn stop(&self) -> bool {
        let mut running = RUNNING.get().lock();
        let mut state = self.state.lock();
        if !state.tended.is_empty() {
            state.ends = None;
            return false;
        }
        let now = Instant::now();
        let stops = *state.ends.get_or_insert(now + LINGER) <= now;
        if stops {
            callbacks::end_spare();
            *running = None;
        }
        stops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Tended for Nothing {
        fn ready(&self, _: Source, _: PollEvent) -> bool {
            false
        }
        fn tick(&self) {}
        fn is_over(&self) -> bool {
            false
        }
        fn forget(&self, _: &Helper) {}
    }

    #[test]
    fn who_is_forgotten_takes_his_timers_along() {
        let mut state = State::default();
        let now = Instant::now();
        let later = |ms| now + Duration::from_millis(ms);
        for key in 0..2 {
            state.tended.insert(key, Arc::new(Nothing));
            for ms in [1, 2, 3] {
                assert!(state.add_timer(key, later(ms)));
            }
        }
        assert!(state.take_due(now).is_empty());
        assert!(state.forget(0).is_some());
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
