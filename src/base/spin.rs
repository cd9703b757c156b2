//! Polling the link a few times before sleeping.
//!
//! Waking a thread on another CPU costs more than a whole round trip between two threads that are awake. So a thread that
//! expects an answer soon first polls without sleeping, for at most [`LONGEST`], and learns whether that pays:
//!
//! * A **hit** (bytes came while it polled) allows the next spin.
//! * A **miss** (nothing came in that time) forbids spinning for a pause, except the first miss after a hit, which has no
//!   pause. The second in a row has [`SHORTEST_PAUSE`], and each further one twice the pause before, up to
//!   [`LONGEST_PAUSE`]. Pauses are counted in time, not in calls, because slow calls would make a number of calls last long.
//! * After [`ALONE`] each poll is followed by `sched_yield`, so that other threads that are ready run on this CPU. If two
//!   polls are more than [`GAP`] apart, another thread ran work that is not part of this conversation (a thread that only
//!   hands on an answer takes less). The CPU is then **contended**: if nothing has come, the spin ends, for
//!   [`SHORTEST_PAUSE`]. Each such end doubles the pause of the next one, and a hit only halves it, because some spins
//!   hit also where CPUs are too few.
//! * Bytes that came while another thread ran are a hit all the same. Two sides that share a CPU by yielding to each other
//!   need no wake-up: an echo of 64 records has twice the rate that way, with another CPU idle. As long as that lasts,
//!   the spin yields from the start.
//! * With one CPU there is no spinning.
//!
//! Both sides must spin for either to gain, so each hit counts as a success, whatever it gained.
//!
//! A child that waits for its next call spins [longer](Spins::of_child). If a task of the parent awaits the answer, one or
//! two threads have to be woken before the next call is sent. That may take a little more than [`LONGEST`], so a shorter
//! spin would miss each time.
//!
//! Waits between frames and waits within a frame learn separately ([`Spins`]): a function may be slow and its result long.

use std::time::{Duration, Instant};

/// Maximum duration of a spin.
const LONGEST: Duration = Duration::from_micros(50);
/// Maximum duration of a spin of a child between calls.
const LONGEST_OF_CHILD: Duration = Duration::from_micros(100);
/// Duration after which each poll is followed by `sched_yield`.
const ALONE: Duration = Duration::from_micros(10);
/// Duration between two polls above which another thread had this CPU.
/// Measured with an awaited echo, for which two threads of the parent are woken: 57 µs with 5, 29 with 20, 25 with 40.
const GAP: Duration = Duration::from_micros(40);
/// Duration of the first pause.
const SHORTEST_PAUSE: Duration = Duration::from_micros(100);
/// Maximum duration of a pause.
const LONGEST_PAUSE: Duration = Duration::from_micros(12_800);

/// The rule when to spin, and its state. See the module.
#[derive(Debug, Clone)]
pub(crate) struct Spin {
    /// Pause after the next miss. `None` if spinning is off.
    pause: Option<Duration>,
    /// No spin before this time.
    resume: Option<Instant>,
    /// Maximum duration of a spin.
    longest: Duration,
    /// Half the pause after the next spin on a contended CPU.
    contended_pause: Duration,
    /// Whether another thread had this CPU in the last spin of several polls.
    contended: bool,
}

/// The spinning of a reader, between frames and within a frame.
#[derive(Debug, Clone)]
pub(crate) struct Spins {
    between: Spin,
    within: Spin,
}

impl Spins {
    /// Spinning that has learned nothing. `allowed` is the builder's option.
    pub(crate) fn new(allowed: bool) -> Self {
        let spin = Spin::new(allowed);
        Self {
            between: spin.clone(),
            within: spin,
        }
    }

    /// The same for a child, which spins longer between frames.
    pub(crate) fn of_child(allowed: bool) -> Self {
        let mut spins = Self::new(allowed);
        spins.between.longest = LONGEST_OF_CHILD;
        spins
    }

    /// Returns whether spinning is on.
    pub(crate) fn is_on(&self) -> bool {
        self.between.pause.is_some()
    }

    /// Returns the one for waits between frames, or within a frame.
    pub(crate) fn at(&mut self, is_between: bool) -> &mut Spin {
        if is_between {
            &mut self.between
        } else {
            &mut self.within
        }
    }
}

impl Spin {
    /// Spinning that has learned nothing. With one CPU it is off.
    pub(crate) fn new(allowed: bool) -> Self {
        let pause = (allowed && crate::sys::cpus() > 1).then_some(Duration::ZERO);
        Self {
            pause,
            resume: None,
            longest: LONGEST,
            contended_pause: Duration::ZERO,
            contended: false,
        }
    }

    /// Calls `poll` until it returns a value, or spinning no longer pays.
    pub(crate) fn wait_for<T>(&mut self, mut poll: impl FnMut() -> Option<T>) -> Option<T> {
        self.pause?;
        let start = Instant::now();
        if self.resume.is_some_and(|resume| start < resume) {
            return None;
        }
        let mut found = poll();
        let mut last = start;
        while found.is_none() {
            if self.yields(last - start) {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
            let now = Instant::now();
            let gap = now - last > GAP;
            found = poll();
            if found.is_some() {
                self.contended = gap;
            } else if gap {
                self.back_off_contended(now);
                return None;
            } else if now - start > self.longest {
                self.miss(now);
                return None;
            }
            last = now;
        }
        self.hit();
        found
    }

    /// Returns whether to yield after having spun for `time`. On a contended CPU that is from the start.
    fn yields(&self, time: Duration) -> bool {
        time > ALONE || self.contended
    }

    /// Records that bytes came.
    fn hit(&mut self) {
        self.pause = Some(Duration::ZERO);
        self.resume = None;
        self.contended_pause /= 2;
    }

    /// Records that another thread had this CPU and nothing came.
    fn back_off_contended(&mut self, now: Instant) {
        self.contended = true;
        self.contended_pause = (self.contended_pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.resume = Some(now + self.contended_pause);
    }

    /// Records that nothing came within the maximum duration, which ended at `now`.
    fn miss(&mut self, now: Instant) {
        let pause = self.pause.unwrap_or_default();
        self.resume = (!pause.is_zero()).then(|| now + pause);
        self.pause = Some((pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spinning() -> Spin {
        Spin {
            pause: Some(Duration::ZERO),
            resume: None,
            longest: LONGEST,
            contended_pause: Duration::ZERO,
            contended: false,
        }
    }

    fn in_vain(spin: &mut Spin) {
        spin.miss(Instant::now());
    }

    #[test]
    fn a_child_spins_longer_between_frames_and_nowhere_else() {
        let mut spins = Spins::of_child(true);
        assert_eq!(spins.at(true).longest, LONGEST_OF_CHILD);
        assert_eq!(spins.at(false).longest, LONGEST);
        assert_eq!(Spins::new(true).at(true).longest, LONGEST);
    }

    #[test]
    fn a_hit_allows_the_next_spin() {
        let mut spin = spinning();
        spin.pause = Some(LONGEST_PAUSE);
        assert_eq!(spin.wait_for(|| Some(1)), Some(1));
        assert_eq!((spin.pause, spin.resume), (Some(Duration::ZERO), None));
    }

    #[test]
    fn misses_pause_longer_and_longer_up_to_a_limit() {
        let mut spin = spinning();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            in_vain(&mut spin);
            pauses.push(spin.resume.take());
        }
        assert_eq!(pauses[0], None, "the first miss is free");
        assert!(pauses[1..].iter().all(Option::is_some));
        assert_eq!(spin.pause, Some(LONGEST_PAUSE));
    }

    #[test]
    fn no_spin_during_a_pause() {
        let mut spin = spinning();
        spin.resume = Some(Instant::now() + Duration::from_secs(3600));
        assert_eq!(spin.wait_for(|| -> Option<()> { panic!("polled") }), None);
    }

    #[test]
    fn a_thread_that_loses_the_cpu_polls_once_more_and_stops() {
        let mut spin = spinning();
        let mut polls = 0;
        spin.wait_for(|| {
            polls += 1;
            std::thread::sleep(GAP * 2);
            None::<()>
        });
        assert_eq!(polls, 2);
        assert!(spin.resume.is_some(), "not even the first is free");
    }

    #[test]
    fn it_yields_after_a_while() {
        let spin = spinning();
        assert!(!spin.yields(Duration::ZERO));
        assert!(spin.yields(ALONE * 2));
    }

    /// A value comes with the second poll. If `contended`, another thread has the CPU before that.
    fn hit_second(spin: &mut Spin, contended: bool) {
        let mut polls = 0;
        spin.wait_for(|| {
            polls += 1;
            if contended && polls == 1 {
                std::thread::sleep(GAP * 2);
            }
            (polls == 2).then_some(())
        });
    }

    #[test]
    fn it_yields_from_the_start_on_a_contended_cpu() {
        let mut spin = spinning();
        spin.back_off_contended(Instant::now());
        assert!(spin.yields(Duration::ZERO));
        spin.resume = None;
        hit_second(&mut spin, true);
        assert!(spin.yields(Duration::ZERO));
        spin.wait_for(|| Some(()));
        assert!(spin.yields(Duration::ZERO), "that says nothing");
        // This thread may lose the CPU at any time.
        let tries = (0..1000).take_while(|_| {
            spin.resume = None;
            hit_second(&mut spin, false);
            spin.yields(Duration::ZERO)
        });
        assert!(tries.count() < 1000);
        hit_second(&mut spin, true);
        assert!(spin.yields(Duration::ZERO));
    }

    #[test]
    fn bytes_that_came_while_another_thread_had_the_cpu_are_a_hit() {
        let mut spin = spinning();
        spin.pause = Some(SHORTEST_PAUSE);
        hit_second(&mut spin, true);
        assert_eq!((spin.pause, spin.resume), (Some(Duration::ZERO), None));
    }

    #[test]
    fn a_hit_halves_the_pause_of_a_contended_cpu() {
        let mut spin = spinning();
        for _ in 0..2 {
            spin.back_off_contended(Instant::now());
        }
        assert_eq!(spin.contended_pause, 2 * SHORTEST_PAUSE);
        spin.resume = None;
        spin.wait_for(|| Some(()));
        assert_eq!((spin.contended_pause, spin.resume), (SHORTEST_PAUSE, None));
        let now = Instant::now();
        spin.back_off_contended(now);
        assert_eq!(spin.resume, Some(now + 2 * SHORTEST_PAUSE));
        for _ in 0..20 {
            spin.back_off_contended(now);
        }
        assert_eq!(spin.contended_pause, LONGEST_PAUSE);
    }

    #[test]
    fn it_can_be_turned_off() {
        assert_eq!(
            Spin::new(false).wait_for(|| -> Option<()> { panic!("polled") }),
            None
        );
    }
}
