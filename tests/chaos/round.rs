//! A round: a few scenes at once in one process, under the same faults, and what they leave.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use offspring::Template;

use crate::Profile;
use crate::accounts::Accounts;
use crate::calls::Caller;
use crate::crew::{Crew, Starter, reap};
use crate::faults::{self, Shots};
use crate::figures::Figures;
use crate::inside::Inside;
use crate::job;
use crate::ledger::Ledger;
use crate::marks::{self, What};
use crate::plan::{Kind, Plan};
use crate::random::Random;
use crate::watch::Watch;

/// The place that the scenes of a round share.
pub(crate) struct Ground<'a> {
    pub(crate) profile: Profile,
    pub(crate) folder: &'a Path,
    pub(crate) watch: &'a Watch,
}

struct Stage<'a> {
    seed: u64,
    ground: &'a Ground<'a>,
    under_fire: bool,
    template: Option<Template>,
    shots: Shots,
}

/// Starts a thread, also where the system refuses it for a moment.
pub(crate) fn begin<'s, T: Send + 's>(
    scope: &'s Scope<'s, '_>,
    body: impl FnOnce() -> T + Send + 's,
) -> ScopedJoinHandle<'s, T> {
    let body = std::sync::Mutex::new(Some(body));
    let body = Arc::new(move || body.lock().unwrap().take().unwrap()());
    crate::patiently(|| {
        let body = Arc::clone(&body);
        thread::Builder::new().spawn_scoped(scope, move || body())
    })
}

impl Ground<'_> {
    /// Runs the round of this seed, and says what went wrong.
    pub(crate) fn round(&self, seed: u64) -> (Figures, Vec<String>) {
        let (_watched, start) = (self.watch.round(seed), Instant::now());
        let mut random = Random::new(seed);
        let stage = Stage {
            seed,
            ground: self,
            under_fire: !random.once_in(4),
            template: (!random.once_in(5))
                .then(|| Template::builder().start().ok())
                .flatten(),
            shots: Shots::default(),
        };
        let over = AtomicBool::new(false);
        let scenes = 1 + random.below(3);
        let (mut figures, mut wrong) = (Figures::default(), Vec::new());
        thread::scope(|scope| {
            let mut faults = self.faults(scope, &random, &over);
            if stage.under_fire {
                let (mut random, stage, over) = (Random::part(seed, 1), &stage, &over);
                faults.push(begin(scope, move || {
                    faults::shoot(&mut random, &stage.shots, over)
                }));
            }
            let running: Vec<_> = (0..scenes)
                .map(|scene| {
                    let (stage, random) = (&stage, Random::part(seed, 100 + scene));
                    begin(scope, move || stage.scene(scene, random))
                })
                .collect();
            for scene in running {
                let (counted, faults) = scene.join().unwrap();
                figures.merge(&counted);
                wrong.extend(faults);
            }
            over.store(true, Ordering::SeqCst);
            for fault in faults {
                figures.merge(&fault.join().unwrap());
            }
        });
        let aimed = stage.shots.aimed.load(Ordering::SeqCst);
        figures.add("kills during a call of more than 1 MiB", aimed);
        figures.add("rounds", 1);
        figures.add("slowest round (ms)", start.elapsed().as_millis() as u64);
        (figures, wrong)
    }

    /// Starts what goes wrong in this process by its profile.
    fn faults<'s>(
        &self,
        scope: &'s Scope<'s, '_>,
        random: &Random,
        over: &'s AtomicBool,
    ) -> Vec<ScopedJoinHandle<'s, Figures>> {
        let mut random = random.clone();
        let one = |name: &'static str, count: u64| {
            let mut figures = Figures::default();
            figures.add(name, count);
            figures
        };
        match self.profile {
            Profile::Plain => Vec::new(),
            Profile::Storm => vec![begin(scope, move || {
                one(
                    "signals that interrupt a thread",
                    faults::interrupt_all_threads(over),
                )
            })],
            Profile::Descriptors => vec![begin(scope, move || {
                one(
                    "times without descriptors",
                    faults::take_descriptors(&mut random, over),
                )
            })],
            Profile::Processes => vec![begin(scope, move || {
                one(
                    "times without processes",
                    faults::refuse_processes(&mut random, over),
                )
            })],
        }
    }
}

impl Stage<'_> {
    fn scene(&self, number: u64, mut random: Random) -> (Figures, Vec<String>) {
        let marks: PathBuf = self.ground.folder.join(format!("marks-{number}"));
        crate::patiently(|| std::fs::File::create(&marks));
        let plan = Plan::new(
            self.seed,
            &mut random,
            self.ground.profile,
            self.under_fire,
            marks,
        );
        let since = marks::now();
        let ledger = Arc::new(Ledger::new(plan.jobs + plan.inside, plan.streamed));
        let inside = Arc::new(Inside::new(plan.jobs..plan.jobs + plan.inside));
        let _watched = self.ground.watch.scene(&plan, &ledger);
        let mut figures = Figures::default();
        figures.add("scenes", 1);
        figures.add(&format!("scenes: {:?}", plan.launch), 1);
        figures.add("scenes: in a sandbox", plan.sandboxed.into());
        let starter = Starter {
            plan: &plan,
            ledger: &ledger,
            inside: &inside,
            template: self.template.as_ref(),
            shots: &self.shots,
        };
        if plan.kind == Kind::Once {
            act(&starter, random, |caller, numbers| {
                caller.once(&starter, numbers)
            });
        } else {
            match starter.start() {
                Ok(crew) => play(&starter, random, crew),
                Err(error) if plan.may_fail(error.kind(), false) => {
                    figures.add("refused starts", 1)
                }
                Err(error) => ledger.fault(format!("it did not start: {error}")),
            }
        }
        let marks = marks::read(&plan.marks);
        for mark in marks.iter().filter(|mark| mark.what == What::Grandchild) {
            let _ = kill(Pid::from_raw(mark.detail as i32), Signal::SIGKILL);
        }
        let count = |what: What| marks.iter().filter(|mark| mark.what == what).count() as u64;
        if count(What::Inner) > 0 {
            until_inner_ones_are_gone(&plan);
        }
        figures.add("children of children", count(What::Inner));
        figures.add("calls of children of children", count(What::Nested));
        figures.add("calls inside callbacks", inside.made(plan.jobs).into());
        figures.add("calls", u64::from(plan.jobs));
        figures.add("events", ledger.ticks.load(Ordering::Relaxed).into());
        figures.add("jobs that began", count(What::Began));
        let dying = marks
            .iter()
            .filter(|mark| matches!(mark.what, What::Dying | What::Closing | What::Grandchild));
        let mut dying: Vec<_> = dying.map(|mark| mark.job).collect();
        dying.dedup();
        figures.add("jobs that end their child", dying.len() as u64);
        let accounts = Accounts {
            plan: &plan,
            ledger: &ledger,
            marks: &marks,
            shots: &self.shots.all(),
            since,
            figures: &mut figures,
        };
        let mut faults = accounts.check();
        for fault in &mut faults {
            *fault = format!("{fault}\n    round {}, {plan:?}", plan.round);
        }
        (figures, faults)
    }
}

/// Waits until children of children are gone: their parents are, so their links have ended. A process that holds such a
/// link, and left no mark because its child was killed, is ended.
fn until_inner_ones_are_gone(plan: &Plan) {
    let own = format!("{}={}", job::SCENE, plan.marks.display());
    crate::until(|| {
        let left = crate::with_variable(&own);
        for (pid, _) in left.iter().filter(|(_, name)| *name == "sleep") {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        left.is_empty()
    });
}

/// Runs the callers of a scene to their ends.
fn act(
    starter: &Starter<'_>,
    mut random: Random,
    each: impl Fn(&mut Caller<'_>, Range<u32>) + Sync,
) {
    let Starter {
        plan,
        ledger,
        inside,
        shots,
        ..
    } = *starter;
    let share = plan.jobs.div_ceil(plan.callers);
    thread::scope(|scope| {
        for from in (0..plan.jobs).step_by(share as usize) {
            let random = Random::new(random.next());
            let each = &each;
            begin(scope, move || {
                let mut caller = Caller {
                    plan,
                    ledger,
                    inside,
                    shots,
                    random,
                };
                each(&mut caller, from..plan.jobs.min(from + share));
            });
        }
    });
}

/// Calls the children of a scene, and ends them.
fn play(starter: &Starter<'_>, random: Random, crew: Crew) {
    let Starter {
        plan,
        ledger,
        inside,
        ..
    } = *starter;
    let Crew {
        hand,
        other,
        reader,
    } = crew;
    inside.open(&hand);
    act(starter, random, |caller, numbers| {
        caller.run(&hand, numbers)
    });
    inside.close();
    hand.end(plan.end);
    if let Some(reader) = reader {
        reader.join().unwrap();
    }
    // Nothing but the watch ends this.
    while ledger.destroyed.load(Ordering::SeqCst) == 0 || !ledger.open().is_empty() {
        thread::sleep(Duration::from_micros(200));
    }
    other.into_iter().for_each(reap);
    let destroyed = ledger.destroyed.load(Ordering::SeqCst);
    if destroyed != 1 {
        ledger.fault(format!("`on_destroy` was called {destroyed} times"));
    }
}
