//! Waking whoever waits for a call of a busy pool: not at once for each answer.
//!
//! To wake a thread costs who wakes it, and the CPU that it is given, more than
//! the answer; and children want that CPU. Where calls wait for a child, nothing
//! is lost if the thread sleeps on for a moment: there is enough to do, whatever
//! it does next.
//!
//! ```text
//!  no call waits:  woken at once
//!  calls wait:     the first is woken at once; who is to be woken within BEAT of
//!                  that is kept until it is over, or until no call waits
//! ```
//!
//! Whoever keeps a bell has to [look](Bell::look) when it is [due](Bell::due).

use crate::base::sync::{Mutex, MutexGuard};
use std::task::Waker;
use std::time::{Duration, Instant};

/// For how long somebody may be kept: less than the beat on which children of deep
/// loads are read (`scheduler/pace.rs`), which is quiet enough.
const BEAT: Duration = Duration::from_micros(150);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Bell(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Calls wait.
    crowded: bool,
    /// Until then nobody is woken while calls wait.
    quiet: Option<Instant>,
    kept: Vec<Waker>,
}

impl State {
    fn is_quiet(&self, now: Instant) -> bool {
        self.crowded && self.quiet.is_some_and(|over| now < over)
    }

    fn keep(&mut self, waker: &Waker) {
        // A task may wait for many.
        let known = self.kept.last().is_some_and(|last| last.will_wake(waker));
        if !known {
            self.kept.push(waker.clone());
        }
    }
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Calls wait for a child.
    pub(super) fn is_crowded(&self) -> bool {
        self.lock().crowded
    }

    /// This one is to be woken: it is, or it is kept, and said until when if it is
    /// the first that is.
    pub(super) fn ring(&self, waker: &Waker, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        if state.is_quiet(now) {
            let first = state.kept.is_empty();
            state.keep(waker);
            return state.quiet.filter(|_| first);
        }
        state.quiet = Some(now + BEAT);
        drop(state);
        waker.wake_by_ref();
        None
    }

    /// Whether calls wait is known anew. Gives those who are to be woken now.
    pub(super) fn look(&self, crowded: bool, now: Instant) -> Vec<Waker> {
        let mut state = self.lock();
        state.crowded = crowded;
        if state.kept.is_empty() || state.is_quiet(now) {
            return Vec::new();
        }
        state.quiet = Some(now + BEAT);
        std::mem::take(&mut state.kept)
    }

    /// Until when somebody is kept.
    pub(super) fn due(&self) -> Option<Instant> {
        let state = self.lock();
        state.quiet.filter(|_| !state.kept.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    const US: Duration = Duration::from_micros(1);

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Somebody to wake, and how often that was done.
    fn sleeper() -> (Waker, impl Fn() -> usize) {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        (waker, move || count.0.load(Ordering::Relaxed))
    }

    #[test]
    fn where_no_call_waits_all_are_woken_at_once() {
        let bell = Bell::default();
        let now = Instant::now();
        let (waker, woken) = sleeper();
        for n in 1..=3 {
            assert_eq!(bell.ring(&waker, now), None);
            assert_eq!((woken(), bell.due()), (n, None));
        }
    }

    #[test]
    fn where_calls_wait_all_but_the_first_are_kept_for_a_while() {
        let bell = Bell::default();
        let now = Instant::now();
        let [(one, woken), (two, _), (three, _)] = [sleeper(), sleeper(), sleeper()];
        assert!(bell.look(true, now).is_empty());
        assert_eq!(bell.ring(&one, now), None);
        assert_eq!(woken(), 1);
        let over = now + BEAT;
        assert_eq!(bell.ring(&two, now + US), Some(over));
        assert_eq!(bell.ring(&two, now + 2 * US), None);
        assert_eq!(bell.ring(&three, now + 3 * US), None);
        assert_eq!(bell.due(), Some(over));
        assert!(bell.look(true, over - US).is_empty());
        assert_eq!(bell.look(true, over).len(), 2, "each once");
        // The next are kept from then on, and no longer.
        assert_eq!(bell.ring(&one, over + US), Some(over + BEAT));
        assert_eq!(bell.look(true, over + 10 * BEAT).len(), 1);
        assert_eq!(bell.ring(&one, over + 11 * BEAT), None);
        assert_eq!(woken(), 2);
    }

    #[test]
    fn nobody_is_kept_once_no_call_waits() {
        let bell = Bell::default();
        let now = Instant::now();
        let (waker, woken) = sleeper();
        bell.look(true, now);
        bell.ring(&waker, now);
        bell.ring(&waker, now);
        assert_eq!(bell.look(false, now).len(), 1);
        assert_eq!(bell.due(), None);
        bell.ring(&waker, now);
        assert_eq!(woken(), 2);
    }
}
