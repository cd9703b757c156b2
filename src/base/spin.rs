//! Looking for octets a few times before sleeping.
//!
//! Waking a thread on another CPU costs more than a whole round trip between
//! two that are awake. So whoever expects an answer soon first looks without
//! sleeping, for at most [`LONGEST`]; and learns whether that pays:
//!
//! * A **hit** (octets came while looking) makes the next look free.
//! * A **miss** forbids looking for a while: not at all after the first one,
//!   then [`SHORTEST_PAUSE`], doubling up to [`LONGEST_PAUSE`]. The pause is
//!   counted in time and not in calls, or a slow stretch would teach for ages.
//! * After [`ALONE`], whoever else is ready to run on this CPU goes first, each
//!   time. Two looks more than [`GAP`] apart mean that somebody did: perhaps the
//!   very one that is waited for. If nothing has come meanwhile it stops, for
//!   [`SHORTEST_PAUSE`]; each time that happens doubles the pause of the next, and
//!   a hit only halves it: where CPUs are few for what there is to do, some looks
//!   hit, too.
//! * What has come meanwhile is a hit all the same. Two sides that share a CPU by
//!   letting each other go first need not be woken: an echo of 64 records has
//!   twice the rate that way, with another CPU idle. But while it goes like that,
//!   others go first from the start: there is nothing to be seen before.
//! * With one CPU nobody looks at all.
//!
//! Both sides must look for either to gain, so a hit is a success however
//! little it gained.
//!
//! A child that waits for its next call may look [longer](Spins::patient). For if
//! the parent sleeps, since a task awaits the answer, it is called again only after
//! one or two threads were woken, which may take a little more than [`LONGEST`]: so
//! little that it would be missed each time. What comes soon after a miss is a
//! **near miss**: the next look is free and may last twice as long, up to
//! [`PATIENT`]. But the pause after the next miss is longer as ever; so whoever
//! cannot hit even then is soon quiet. What comes late makes looks shorter again.
//!
//! What is learned between frames says nothing of the middle of one, and the other
//! way round: a function may be slow and its result long. So there are two of it
//! ([`Spins`]).

use std::time::{Duration, Instant};

const LONGEST: Duration = Duration::from_micros(50);
/// In a poll, which holds up an executor's thread.
const LONGEST_IN_POLL: Duration = Duration::from_micros(20);
/// Of a child between calls.
const PATIENT: Duration = Duration::from_micros(200);
/// After so long, whoever is ready to run on this CPU goes first.
const ALONE: Duration = Duration::from_micros(10);
const GAP: Duration = Duration::from_micros(5);
const SHORTEST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_micros(12_800);

/// What was learned of looking. See the module.
#[derive(Debug, Clone)]
pub(crate) struct Spin {
    /// `None`: never look.
    pause: Option<Duration>,
    resume: Option<Instant>,
    /// How long a look may last; and may ever.
    longest: Duration,
    most: Duration,
    /// How long to pause once somebody else has this CPU again.
    crowd: Duration,
    /// Somebody else had it in the last look that was more than one.
    shared: bool,
    /// When the look began that was a miss, if nothing has come since.
    missed: Option<Instant>,
}

/// Both that a reader needs.
#[derive(Debug, Clone)]
pub(crate) struct Spins {
    between: Spin,
    within: Spin,
}

impl Spins {
    /// Nothing learned yet.
    pub(crate) fn new(allowed: bool) -> Self {
        let spin = Spin::new(allowed);
        Self {
            between: spin.clone(),
            within: spin,
        }
    }

    /// The same, but between frames it may look for longer.
    pub(crate) fn patient(allowed: bool) -> Self {
        let mut spins = Self::new(allowed);
        spins.between.most = PATIENT;
        spins
    }

    /// It ever looks.
    pub(crate) fn is_on(&self) -> bool {
        self.between.pause.is_some()
    }

    /// For the time between two frames, or within one.
    pub(crate) fn at(&mut self, is_between: bool) -> &mut Spin {
        if is_between {
            &mut self.between
        } else {
            &mut self.within
        }
    }
}

impl Spin {
    /// Nothing learned yet; it looks only if there is more than one CPU.
    pub(crate) fn new(allowed: bool) -> Self {
        let pause = (allowed && crate::sys::cpus() > 1).then_some(Duration::ZERO);
        Self {
            pause,
            resume: None,
            longest: LONGEST,
            most: LONGEST,
            crowd: Duration::ZERO,
            shared: false,
            missed: None,
        }
    }

    /// The same, for polls.
    pub(crate) fn in_poll(allowed: bool) -> Self {
        Self {
            longest: LONGEST_IN_POLL,
            most: LONGEST_IN_POLL,
            ..Self::new(allowed)
        }
    }

    /// To look may pay now.
    pub(crate) fn may_look(&self) -> bool {
        self.pause.is_some() && self.resume.is_none_or(|resume| resume <= Instant::now())
    }

    /// Looks until there is something, or it no longer pays.
    pub(crate) fn look<T>(&mut self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        self.pause?;
        let start = Instant::now();
        if self.resume.is_some_and(|resume| start < resume) {
            return None;
        }
        let mut found = look();
        let mut last = start;
        while found.is_none() {
            if self.yields(last - start) {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
            let now = Instant::now();
            let gap = now - last > GAP;
            found = look();
            if found.is_some() {
                self.shared = gap;
            } else if gap {
                self.give_way(now);
                return None;
            } else if now - start > self.longest {
                self.miss(start, now);
                return None;
            }
            last = now;
        }
        self.hit();
        found
    }

    /// Whoever else is ready to run goes first, after so much time of looking; or
    /// at once, if somebody was the last time.
    fn yields(&self, time: Duration) -> bool {
        time > ALONE || self.shared
    }

    /// Octets came while it looked.
    fn hit(&mut self) {
        self.pause = Some(Duration::ZERO);
        self.resume = None;
        self.missed = None;
        self.crowd /= 2;
    }

    /// Octets came while it slept.
    pub(crate) fn woke(&mut self) {
        if let Some(start) = self.missed.take() {
            self.came_after(start.elapsed());
        }
    }

    fn came_after(&mut self, time: Duration) {
        if time > 2 * self.most {
            self.longest = self.longest.min(LONGEST);
        } else if self.longest < self.most {
            self.longest = self.most.min(2 * self.longest);
            self.resume = None;
        }
    }

    /// Somebody else had this CPU.
    fn give_way(&mut self, now: Instant) {
        self.shared = true;
        self.crowd = (self.crowd * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.resume = Some(now + self.crowd);
    }

    /// It looked from `start` on, in vain.
    fn miss(&mut self, start: Instant, now: Instant) {
        let pause = self.pause.unwrap_or_default();
        self.resume = (!pause.is_zero()).then(|| now + pause);
        self.pause = Some((pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
        self.missed = Some(start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looking() -> Spin {
        Spin {
            pause: Some(Duration::ZERO),
            resume: None,
            longest: LONGEST,
            most: LONGEST,
            crowd: Duration::ZERO,
            shared: false,
            missed: None,
        }
    }

    fn patient() -> Spin {
        Spin {
            most: PATIENT,
            ..looking()
        }
    }

    fn in_vain(spin: &mut Spin) {
        let now = Instant::now();
        spin.miss(now, now);
    }

    #[test]
    fn a_near_miss_makes_the_next_look_free_and_longer_up_to_a_limit() {
        let mut spin = patient();
        for longest in [2 * LONGEST, PATIENT] {
            in_vain(&mut spin);
            in_vain(&mut spin);
            assert!(spin.resume.is_some());
            spin.came_after(PATIENT);
            assert_eq!((spin.resume, spin.longest), (None, longest));
        }
        let pause = spin.pause;
        in_vain(&mut spin);
        spin.came_after(PATIENT);
        assert!(spin.resume.is_some() && spin.pause > pause);
    }

    #[test]
    fn what_comes_late_makes_looks_short_again() {
        let mut spin = patient();
        spin.longest = PATIENT;
        in_vain(&mut spin);
        spin.came_after(Duration::from_millis(1));
        assert_eq!(spin.longest, LONGEST);
    }

    #[test]
    fn what_came_while_looking_was_no_miss() {
        let mut spin = patient();
        in_vain(&mut spin);
        assert!(spin.missed.is_some());
        spin.resume = None;
        spin.look(|| Some(()));
        spin.woke();
        assert_eq!(spin.longest, LONGEST);
    }

    #[test]
    fn the_impatient_never_look_longer() {
        let mut spin = looking();
        in_vain(&mut spin);
        spin.woke();
        assert_eq!(spin.longest, LONGEST);
    }

    #[test]
    fn a_hit_makes_the_next_look_free() {
        let mut spin = looking();
        spin.pause = Some(LONGEST_PAUSE);
        assert_eq!(spin.look(|| Some(1)), Some(1));
        assert_eq!((spin.pause, spin.resume), (Some(Duration::ZERO), None));
    }

    #[test]
    fn misses_pause_longer_and_longer_up_to_a_limit() {
        let mut spin = looking();
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
    fn during_a_pause_nobody_looks() {
        let mut spin = looking();
        spin.resume = Some(Instant::now() + Duration::from_secs(3600));
        assert_eq!(spin.look(|| -> Option<()> { panic!("looked") }), None);
    }

    #[test]
    fn whoever_loses_the_cpu_looks_once_more_and_stops() {
        let mut spin = looking();
        let mut looks = 0;
        spin.look(|| {
            looks += 1;
            std::thread::sleep(GAP * 2);
            None::<()>
        });
        assert_eq!(looks, 2);
        assert!(spin.resume.is_some(), "not even the first is free");
    }

    #[test]
    fn others_go_first_after_a_while() {
        let spin = looking();
        assert!(!spin.yields(Duration::ZERO));
        assert!(spin.yields(ALONE * 2));
    }

    /// Something comes in the second look; before that somebody else has the CPU.
    fn second_look(spin: &mut Spin, shared: bool) {
        let mut looks = 0;
        spin.look(|| {
            looks += 1;
            if shared && looks == 1 {
                std::thread::sleep(GAP * 2);
            }
            (looks == 2).then_some(())
        });
    }

    #[test]
    fn others_go_first_from_the_start_as_long_as_somebody_does() {
        let mut spin = looking();
        spin.give_way(Instant::now());
        assert!(spin.yields(Duration::ZERO));
        spin.resume = None;
        second_look(&mut spin, true);
        assert!(spin.yields(Duration::ZERO));
        spin.look(|| Some(()));
        assert!(spin.yields(Duration::ZERO), "that says nothing");
        // This thread may lose the CPU at any time.
        let tries = (0..1000).take_while(|_| {
            spin.resume = None;
            second_look(&mut spin, false);
            spin.yields(Duration::ZERO)
        });
        assert!(tries.count() < 1000);
        second_look(&mut spin, true);
        assert!(spin.yields(Duration::ZERO));
    }

    #[test]
    fn what_came_while_somebody_else_had_the_cpu_is_a_hit() {
        let mut spin = looking();
        spin.pause = Some(SHORTEST_PAUSE);
        second_look(&mut spin, true);
        assert_eq!((spin.pause, spin.resume), (Some(Duration::ZERO), None));
    }

    #[test]
    fn a_hit_makes_the_pause_of_the_crowded_only_half_as_long() {
        let mut spin = looking();
        for _ in 0..2 {
            spin.give_way(Instant::now());
        }
        assert_eq!(spin.crowd, 2 * SHORTEST_PAUSE);
        spin.resume = None;
        spin.look(|| Some(()));
        assert_eq!((spin.crowd, spin.resume), (SHORTEST_PAUSE, None));
        let now = Instant::now();
        spin.give_way(now);
        assert_eq!(spin.resume, Some(now + 2 * SHORTEST_PAUSE));
        for _ in 0..20 {
            spin.give_way(now);
        }
        assert_eq!(spin.crowd, LONGEST_PAUSE);
    }

    #[test]
    fn it_can_be_turned_off() {
        assert_eq!(
            Spin::new(false).look(|| -> Option<()> { panic!("looked") }),
            None
        );
    }
}
