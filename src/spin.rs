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
//! * Two looks more than [`GAP`] apart mean that somebody else had this CPU:
//!   perhaps the very one that is waited for. That is a miss at once.
//! * With one CPU nobody looks at all.
//!
//! Both sides must look for either to gain, so a hit is a success however
//! little it gained.
//!
//! What is learned between frames says nothing of the middle of one, and the other
//! way round: a function may be slow and its result long. So there are two of it
//! ([`Spins`]).

use std::time::{Duration, Instant};

const LONGEST: Duration = Duration::from_micros(50);
/// In a poll, which holds up an executor's thread.
const LONGEST_IN_POLL: Duration = Duration::from_micros(20);
const GAP: Duration = Duration::from_micros(5);
const SHORTEST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_micros(12_800);

/// What was learned of looking. See the module.
#[derive(Debug, Clone)]
pub(crate) struct Spin {
    /// `None`: never look.
    pause: Option<Duration>,
    resume: Option<Instant>,
    longest: Duration,
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
        }
    }

    /// The same, for polls.
    pub(crate) fn in_poll(allowed: bool) -> Self {
        Self {
            longest: LONGEST_IN_POLL,
            ..Self::new(allowed)
        }
    }

    /// To look may pay now.
    pub(crate) fn may_look(&self) -> bool {
        self.pause.is_some() && self.resume.is_none_or(|resume| resume <= Instant::now())
    }

    /// Looks until there is something, or it no longer pays.
    pub(crate) fn look<T>(&mut self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let pause = self.pause?;
        let start = Instant::now();
        if self.resume.is_some_and(|resume| start < resume) {
            return None;
        }
        let mut last = start;
        loop {
            if let Some(found) = look() {
                self.pause = Some(Duration::ZERO);
                self.resume = None;
                return Some(found);
            }
            let now = Instant::now();
            if now - last > GAP || now - start > self.longest {
                self.miss(pause, now);
                return None;
            }
            last = now;
            std::hint::spin_loop();
        }
    }

    fn miss(&mut self, pause: Duration, now: Instant) {
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
        }
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
            assert_eq!(spin.look(|| None::<()>), None);
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
    fn whoever_loses_the_cpu_stops_at_once() {
        let mut spin = looking();
        let mut looks = 0;
        spin.look(|| {
            looks += 1;
            std::thread::sleep(GAP * 2);
            None::<()>
        });
        assert_eq!(looks, 1);
    }

    #[test]
    fn it_can_be_turned_off() {
        assert_eq!(
            Spin::new(false).look(|| -> Option<()> { panic!("looked") }),
            None
        );
    }
}
