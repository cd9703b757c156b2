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
//!   time. Two looks more than [`GAP`] apart mean that a thread did which has work
//!   of its own; a thread that only hands on an answer is done sooner. If nothing
//!   has come meanwhile it stops, for
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
//! A child that waits for its next call looks [longer](Spins::of_child). For if
//! the parent sleeps, since a task awaits the answer, the child is called again only
//! after one or two threads were woken, which may take a little more than
//! [`LONGEST`]: so little that it would be missed each time.
//!
//! What is learned between frames says nothing of the middle of one, and the other
//! way round: a function may be slow and its result long. So there are two of it
//! ([`Spins`]).

use std::time::{Duration, Instant};

const LONGEST: Duration = Duration::from_micros(50);
/// Of a child between calls.
const LONGEST_OF_CHILD: Duration = Duration::from_micros(100);
/// After so long, whoever is ready to run on this CPU goes first.
const ALONE: Duration = Duration::from_micros(10);
/// Measured with an awaited echo, for which two threads of the parent are woken: 57 µs with 5, 29 with 20, 25 with 40.
const GAP: Duration = Duration::from_micros(40);
const SHORTEST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_micros(12_800);

/// What was learned of looking. See the module.
#[derive(Debug, Clone)]
pub(crate) struct Spin {
    /// `None`: never look.
    pause: Option<Duration>,
    resume: Option<Instant>,
    /// How long a look may last.
    longest: Duration,
    /// How long to pause once somebody else has this CPU again.
    crowd: Duration,
    /// Somebody else had it in the last look that was more than one.
    shared: bool,
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
    pub(crate) fn of_child(allowed: bool) -> Self {
        let mut spins = Self::new(allowed);
        spins.between.longest = LONGEST_OF_CHILD;
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
            crowd: Duration::ZERO,
            shared: false,
        }
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
                self.miss(now);
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
        self.crowd /= 2;
    }

    /// Somebody else had this CPU.
    fn give_way(&mut self, now: Instant) {
        self.shared = true;
        self.crowd = (self.crowd * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.resume = Some(now + self.crowd);
    }

    /// It looked until `now`, in vain.
    fn miss(&mut self, now: Instant) {
        let pause = self.pause.unwrap_or_default();
        self.resume = (!pause.is_zero()).then(|| now + pause);
        self.pause = Some((pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
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
            crowd: Duration::ZERO,
            shared: false,
        }
    }

    fn in_vain(spin: &mut Spin) {
        spin.miss(Instant::now());
    }

    #[test]
    fn a_child_looks_longer_between_frames_and_nowhere_else() {
        let mut spins = Spins::of_child(true);
        assert_eq!(spins.at(true).longest, LONGEST_OF_CHILD);
        assert_eq!(spins.at(false).longest, LONGEST);
        assert_eq!(Spins::new(true).at(true).longest, LONGEST);
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
