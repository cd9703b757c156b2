//! How what children answer is read while calls wait: at once, or on a beat.
//!
//! To be woken for an answer costs more than the answer: the child wakes a
//! thread, which takes a CPU from some child, reads, sends the next call, and
//! wakes who waits. Where calls are short and each child has several, nothing is
//! lost if answers lie for a moment, until all children are read together.
//!
//! ```text
//!          children answer often, and have enough to do until the beat
//!  AtOnce ─────────────────────────────────────────────────────────────▶ Beat
//!     ▲                                                                   │
//!     └── a child had nothing to do, or answers are few, or no call waits ┘
//! ```
//!
//! A beat is as long as it takes a child to do half of its calls, and no longer
//! than [`LONGEST`]: so much later may an answer be seen, of a pool where others
//! wait for longer. It is not kept if it would be shorter than [`SHORTEST`], or if
//! fewer than [`FEW`] answers came in it. Each time that a child was out of work,
//! there is none for a while, twice as long as the last time.

use std::time::{Duration, Instant};

/// How long answers may lie.
const LONGEST: Duration = Duration::from_micros(200);
/// Clocks that wake are not more exact than 50 µs.
const SHORTEST: Duration = Duration::from_micros(100);
/// It does not pay for fewer answers a beat than this.
const FEW: u32 = 2;
/// For so long it is counted before a beat is chosen, and before it is judged.
const WINDOW: Duration = Duration::from_millis(2);
/// For how long there is none after a child was out of work.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Since when it is counted, and what had been answered by then.
    since: Option<(Instant, u64)>,
    /// How long the beat is, and when the next is due.
    beat: Option<(Duration, Instant)>,
    /// The last came so late that nobody can blame it.
    late: bool,
    pause: Duration,
    not_before: Option<Instant>,
}

impl Pace {
    /// When children are to be read, if not at once.
    pub(super) fn next(&self) -> Option<Instant> {
        self.beat.map(|(_, at)| at)
    }

    /// No call waits.
    pub(super) fn rest(&mut self) {
        (self.since, self.beat) = (None, None);
    }

    /// A child that is read on the beat had nothing to do.
    pub(super) fn missed(&mut self, now: Instant) {
        if self.beat.is_none() || self.late {
            return;
        }
        self.rest();
        self.pause = (self.pause * 2).clamp(PAUSES.0, PAUSES.1);
        self.not_before = Some(now + self.pause);
    }

    /// Calls wait, for so many children that may have so many each. True: they are
    /// to be read now.
    pub(super) fn keep(&mut self, now: Instant, answered: u64, children: u32, load: u32) -> bool {
        let (since, before) = *self.since.get_or_insert((now, answered));
        let time = now.saturating_duration_since(since);
        if time >= WINDOW {
            self.since = Some((now, answered));
            if self.beat.is_some() {
                self.pause = Duration::ZERO;
            }
            let answers = u32::try_from(answered - before).unwrap_or(u32::MAX);
            self.choose(now, time, answers, children, load);
        }
        match &mut self.beat {
            Some((beat, at)) if *at <= now => {
                self.late = now > *at + *beat;
                *at = now + *beat;
                true
            }
            _ => false,
        }
    }

    fn choose(&mut self, now: Instant, time: Duration, answers: u32, children: u32, load: u32) {
        let each = time.saturating_mul(children).checked_div(answers);
        let half = each.map_or(LONGEST, |each| each.saturating_mul(load / 2));
        let beat = half.min(LONGEST);
        let few = time.saturating_mul(FEW) > beat.saturating_mul(answers);
        let paused = self.not_before.is_some_and(|at| now < at);
        self.beat = if beat < SHORTEST || few || paused {
            None
        } else {
            let next = self.beat.map_or(now, |(_, at)| at);
            Some((beat, next))
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    /// Two children that answer every so often, for so long. How often they were
    /// read, and how many were answered by then.
    fn run(pace: &mut Pace, each: Duration, load: u32, time: Duration) -> (usize, u64) {
        let start = Instant::now() + 3600 * US;
        let (mut beats, mut answered) = (0, 0);
        let mut now = start;
        while now < start + time {
            answered = 2 * ((now - start).as_nanos() / each.as_nanos()) as u64;
            beats += usize::from(pace.keep(now, answered, 2, load));
            now += 10 * US;
        }
        (beats, answered)
    }

    #[test]
    fn short_calls_of_deep_loads_are_read_on_a_beat() {
        let mut pace = Pace::default();
        let (beats, answered) = run(&mut pace, 50 * US, 16, 100 * WINDOW);
        assert!((980..1000).contains(&beats), "{beats} of 200 µs");
        assert_eq!(answered, 7998);
    }

    #[test]
    fn a_beat_is_as_long_as_half_of_the_calls_of_a_child() {
        let mut pace = Pace::default();
        run(&mut pace, 50 * US, 5, 10 * WINDOW);
        let (beat, _) = pace.beat.expect("there is one");
        assert!((100 * US..110 * US).contains(&beat), "{beat:?}");
    }

    #[test]
    fn there_is_none_for_long_calls_for_few_calls_and_for_the_shortest() {
        for (each, load) in [(500 * US, 16), (50 * US, 2), (1 * US, 16)] {
            let mut pace = Pace::default();
            assert_eq!(run(&mut pace, each, load, 10 * WINDOW).0, 0, "{each:?}");
        }
    }

    #[test]
    fn it_ends_when_calls_become_long_or_none_waits() {
        let mut pace = Pace::default();
        run(&mut pace, 50 * US, 16, 10 * WINDOW);
        assert!(pace.next().is_some());
        pace.since = None;
        run(&mut pace, 10_000 * US, 16, 10 * WINDOW);
        assert_eq!(pace.next(), None);
        pace.since = None;
        run(&mut pace, 50 * US, 16, 10 * WINDOW);
        assert!(pace.next().is_some());
        pace.rest();
        assert_eq!(pace.next(), None);
    }

    #[test]
    fn a_beat_that_came_late_is_not_blamed() {
        for (late, kept) in [(LONGEST, false), (3 * LONGEST, true)] {
            let mut pace = Pace::default();
            let (_, answered) = run(&mut pace, 50 * US, 16, 10 * WINDOW);
            let now = pace.next().expect("there is a beat") + late;
            pace.since = Some((now, answered));
            assert!(pace.keep(now, answered, 2, 16));
            pace.missed(now);
            assert_eq!(pace.next().is_some(), kept, "{late:?}");
        }
    }

    #[test]
    fn who_was_out_of_work_ends_it_for_longer_and_longer() {
        let mut pace = Pace::default();
        let mut now = Instant::now();
        let mut answered = 0;
        let mut pauses = Vec::new();
        for _ in 0..10 {
            let ended = now;
            while pace.next().is_none() {
                (now, answered) = (now + WINDOW, answered + 80);
                pace.keep(now, answered, 2, 16);
            }
            pauses.push(now - ended);
            pace.missed(now);
            assert_eq!(pace.next(), None);
        }
        assert!(pauses[0] <= 2 * WINDOW);
        assert!(pauses[1] >= PAUSES.0 && pauses[2] >= 2 * PAUSES.0);
        assert!((PAUSES.1..PAUSES.1 + 3 * WINDOW).contains(&pauses[9]));
        // Whoever keeps it for a while is trusted again.
        while pace.next().is_none() {
            (now, answered) = (now + WINDOW, answered + 80);
            pace.keep(now, answered, 2, 16);
        }
        for at in 1..=11 {
            pace.keep(now + at * LONGEST, answered + 80, 2, 16);
        }
        pace.missed(now + 11 * LONGEST);
        assert_eq!(pace.pause, PAUSES.0);
    }
}
