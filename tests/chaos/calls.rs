//! One thread of a scene that makes calls, in one of the ways in which a program may.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use offspring::{Call, Error, SharedBytes, SharedMemory};

use crate::crew::{Hand, Starter, some_file};
use crate::faults::{self, Shots};
use crate::inside::Inside;
use crate::job::{Job, Reply, Step, Tick, pattern};
use crate::ledger::{Ledger, Terms, Unplaced};
use crate::marks::now;
use crate::plan::{Kind, Launch, Plan};
use crate::random::Random;
use crate::round::begin;

/// The least length of arguments that a kill is aimed at: several fillings of the link.
const LONG: usize = 1 << 20;

type Open = Call<Reply, Tick>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Wait,
    Bare,
    Tokio,
    Smol,
    Callback,
    Map,
    Unordered,
    Detach,
}

/// An accepted call without an outcome: withdrawn if it is dropped, as its handle is.
struct Pending {
    ledger: Arc<Ledger>,
    number: u32,
    is_done: bool,
    /// It belongs to a callback, which is called, whatever happens.
    is_owed: bool,
}

impl Pending {
    fn done(mut self, outcome: Result<Reply, Error>) {
        self.is_done = true;
        self.ledger.outcome(self.number, outcome);
    }

    fn detached(mut self) {
        self.is_done = true;
        self.ledger
            .update(self.number, |entry| entry.is_detached = true);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.is_owed && !self.is_done {
            self.ledger
                .fault(format!("the callback of {} was dropped", self.number));
        } else if !self.is_done {
            self.ledger
                .update(self.number, |entry| entry.is_withdrawn = true);
        }
    }
}

pub(crate) struct Caller<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) ledger: &'a Arc<Ledger>,
    pub(crate) inside: &'a Arc<Inside>,
    pub(crate) shots: &'a Shots,
    pub(crate) random: Random,
}

impl Caller<'_> {
    pub(crate) fn run(&mut self, hand: &Hand, numbers: Range<u32>) {
        let may_have_runtimes = !self.plan.profile.is_short();
        match self.style() {
            Style::Tokio if may_have_runtimes => self.tokio(hand, numbers),
            Style::Smol if may_have_runtimes => self.smol(hand, numbers),
            Style::Bare | Style::Smol | Style::Tokio => self.bare(hand, numbers),
            Style::Callback => self.callbacks(hand, numbers),
            Style::Map => self.map(hand, numbers, true),
            Style::Unordered => self.map(hand, numbers, false),
            Style::Detach => self.detach(hand, numbers),
            Style::Wait => self.wait(hand, numbers),
        }
    }

    fn style(&mut self) -> Style {
        self.random.pick(&[
            Style::Wait,
            Style::Wait,
            Style::Bare,
            Style::Tokio,
            Style::Smol,
            Style::Callback,
            Style::Callback,
            Style::Map,
            Style::Unordered,
            Style::Detach,
        ])
    }

    fn size(&mut self) -> usize {
        let bits = self.random.pick(&[0, 6, 8, 8, 12, 12, 15, 17, 22]);
        self.random.up_to_bits(bits) as usize
    }

    /// The length of arguments: that of the longest takes several fillings of the link.
    fn sent(&mut self) -> usize {
        match self.random.once_in(50) {
            true => LONG + self.random.below(3 << 20) as usize,
            false => self.size(),
        }
    }

    fn job(&mut self, number: u32) -> Job {
        let once_in = 12;
        let size = self.sent();
        let file = (self.plan.is_local() && self.random.once_in(once_in)).then(some_file);
        let memory = self
            .random
            .once_in(once_in)
            .then(|| SharedMemory::copy_from_slice(&pattern(number, 1 + size % 100_000)).ok());
        let shared = self
            .random
            .once_in(once_in)
            .then(|| SharedBytes::copy_from_slice(&pattern(number, size)).ok());
        Job {
            number,
            steps: self.steps(),
            wanted: self.size() as u32,
            data: pattern(number, size).into(),
            file: file.flatten().map(Into::into),
            shared: shared.flatten(),
            memory: memory.flatten(),
        }
    }

    fn steps(&mut self) -> Vec<Step> {
        let (mut steps, mut progress) = (Vec::new(), 0);
        while self.random.once_in(2) && steps.len() < 4 {
            let (random, plan) = (&mut self.random, self.plan);
            steps.push(match random.below(11) {
                0 | 1 => Step::Events(random.up_to_bits(6) as u32),
                2 | 3 => {
                    let from = progress;
                    progress += random.up_to_bits(5) as u32;
                    Step::Progress(from, progress)
                }
                4 => Step::Sleep(random.up_to_bits(14)),
                5 | 6 => Step::Spin(random.up_to_bits(10)),
                // In the plain form this ends the child.
                7 if random.once_in(3) && (plan.under_fire || plan.launch != Launch::Plain) => {
                    Step::Panic
                }
                8 if plan.is_pool() && random.once_in(3) => Step::Retire,
                9 if !plan.has_threads() && random.once_in(3) => {
                    Step::Print(random.up_to_bits(17) as usize)
                }
                // A child in a thread would have a child of this process, which is shot at.
                10 if !plan.has_threads() && random.once_in(4) => {
                    Step::Nested(random.up_to_bits(18) as u32)
                }
                _ => continue,
            });
        }
        let dies = self.plan.under_fire && !self.plan.has_threads();
        if dies && self.random.once_in(20) {
            steps.push(self.last_step());
        }
        steps
    }

    /// A step that ends a child, or cripples it.
    fn last_step(&mut self) -> Step {
        let signals = [
            libc::SIGKILL,
            libc::SIGABRT,
            libc::SIGILL,
            libc::SIGTERM,
            libc::SIGSEGV,
        ];
        let random = &mut self.random;
        match random.below(12) {
            0 | 1 => Step::Raise(random.pick(&signals)),
            2 => Step::Exit(random.below(3) as i32),
            // At a socket the parent knows no process, so the link is open as long as the grandchild holds it.
            3 if self.plan.launch != Launch::Socket => Step::Grandchild,
            4 => Step::CloseAll,
            5 if self.plan.limited => Step::Fill(2 << 30),
            6 if self.plan.limited => Step::OpenMany,
            _ => Step::Bomb(random.up_to_bits(12), random.pick(&signals)),
        }
    }

    fn terms(&mut self, job: &Job) -> Terms {
        let (is_timed, repeats) = (self.random.once_in(15), self.random.once_in(4));
        let panics = job.steps.iter().any(|step| matches!(step, Step::Panic));
        Terms {
            repeats: if self.plan.is_pool() && repeats { 3 } else { 0 },
            is_timed,
            is_steady: !is_timed && !panics,
            panics,
            wanted: job.wanted,
            bytes: job.data.len().max(job.wanted as usize),
            has_file: job.file.is_some(),
            has_memory: job.memory.is_some(),
            ..Terms::default()
        }
    }

    fn accept(&mut self, number: u32, change: impl FnOnce(&mut Terms)) -> (Job, Terms, Pending) {
        let job = self.job(number);
        let mut terms = self.terms(&job);
        change(&mut terms);
        self.ledger.update(number, |entry| {
            entry.terms = terms;
            entry.is_accepted = true;
        });
        let pending = Pending {
            ledger: Arc::clone(self.ledger),
            number,
            is_done: false,
            is_owed: false,
        };
        (job, terms, pending)
    }

    /// Makes the call of this job, unless there was no room for it.
    fn call(
        &mut self,
        hand: &Hand,
        number: u32,
        change: impl FnOnce(&mut Terms),
    ) -> Option<(Open, Pending)> {
        let (job, terms, mut pending) = self.accept(number, change);
        let call = if self.random.once_in(8) {
            let Some(call) = hand.try_call(job) else {
                pending.is_done = true;
                self.ledger.update(number, |entry| entry.is_refused = true);
                return None;
            };
            call
        } else {
            self.aim(hand, job)
        };
        let mut call = call.repeat(terms.repeats);
        if terms.is_timed {
            let time = Duration::from_micros(self.random.up_to_bits(15));
            call = match self.random.below(2) {
                0 => call.timeout(time),
                _ => call.deadline(Instant::now() + time),
            };
        }
        let once_in = if terms.is_timed { 3 } else { 12 };
        // Without a time limit, only a drop of the call kills.
        call = call.kill_on_cancel(self.plan.under_fire && self.random.once_in(once_in));
        Some((call, pending))
    }

    /// Makes a call. Under fire a child is shot at while some of the long ones are made and read.
    fn aim(&mut self, hand: &Hand, job: Job) -> Open {
        let is_aimed = self.plan.under_fire && job.data.len() >= LONG && self.random.once_in(2);
        let target = match hand.pid() {
            Some(pid) => vec![pid],
            None if is_aimed => faults::children(),
            None => Vec::new(),
        };
        if !is_aimed || target.is_empty() {
            return hand.call(job);
        }
        let (pid, shots) = (self.random.pick(&target), self.shots);
        let after = Duration::from_micros(self.random.up_to_bits(14));
        std::thread::scope(|scope| {
            begin(scope, move || {
                let has_hit = faults::shoot_at(pid, after, shots);
                shots.aimed.fetch_add(has_hit.into(), Ordering::SeqCst);
            });
            hand.call(job)
        })
    }

    fn wait(&mut self, hand: &Hand, numbers: Range<u32>) {
        let (mut window, width) = (VecDeque::new(), 1 + self.random.up_to_bits(5) as usize);
        // A single child loses all its calls at once, so none of the waits is late.
        let is_prompt = !self.plan.is_pool() && self.plan.has_quick_callbacks();
        for number in numbers {
            let call = self.call(hand, number, |terms| terms.is_prompt = is_prompt);
            window.extend(call);
            if window.len() >= width {
                self.take(window.pop_front());
            }
        }
        while !window.is_empty() {
            self.take(window.pop_front());
        }
    }

    fn take(&mut self, call: Option<(Open, Pending)>) {
        let Some((mut call, pending)) = call else {
            return;
        };
        match self.random.below(12) {
            0 => return,
            1 => self.events(&mut call),
            2 if !self
                .ledger
                .update(pending.number, |entry| entry.terms.is_timed) =>
            {
                let time = Duration::from_micros(self.random.up_to_bits(14));
                match call.wait_timeout(time) {
                    Err(error) if error.is_timeout() => {}
                    outcome => return pending.done(outcome),
                }
            }
            _ => {}
        }
        let outcome = call.wait();
        pending.done(outcome);
    }

    /// Reads the events of the call: those of one child come in order.
    fn events(&mut self, call: &mut Open) {
        let mut last = None;
        for event in call.events() {
            if self.plan.slow_events {
                std::thread::sleep(Duration::from_micros(300));
            }
            let Ok(tick) = event else {
                continue;
            };
            let is_next = match last {
                Some((life, sequence)) if life == tick.life => tick.sequence == sequence + 1,
                // Of a run that began anew, or the first after those that made way.
                _ => true,
            };
            if !is_next {
                self.ledger
                    .fault(format!("progress {tick:?} behind {last:?}"));
            }
            last = Some((tick.life, tick.sequence));
        }
    }

    fn all(&mut self, hand: &Hand, numbers: Range<u32>) -> Vec<(Open, Pending)> {
        numbers
            .filter_map(|number| {
                let is_prompt = self.plan.has_quick_callbacks();
                self.call(hand, number, |terms| terms.is_prompt = is_prompt)
            })
            .collect()
    }

    fn bare(&mut self, hand: &Hand, numbers: Range<u32>) {
        let executor = futures_executor(self.all(hand, numbers));
        block_on(executor);
    }

    fn smol(&mut self, hand: &Hand, numbers: Range<u32>) {
        let executor = smol::LocalExecutor::new();
        let tasks: Vec<_> = self
            .all(hand, numbers)
            .into_iter()
            .map(|(call, pending)| executor.spawn(async move { pending.done(call.await) }))
            .collect();
        let dropped = self.random.once_in(4).then(|| self.random.up_to_bits(13));
        smol::block_on(executor.run(async {
            match dropped {
                Some(micros) => {
                    smol::Timer::after(Duration::from_micros(micros)).await;
                    drop(tasks);
                }
                None => {
                    for task in tasks {
                        task.await;
                    }
                }
            }
        }));
    }

    fn tokio(&mut self, hand: &Hand, numbers: Range<u32>) {
        let runtime = if self.random.once_in(2) {
            tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
        } else {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(2).enable_time().build()
        };
        let runtime = runtime.unwrap();
        let calls = self.all(hand, numbers);
        let limits: Vec<_> = calls.iter().map(|_| self.random.once_in(20)).collect();
        let tasks: Vec<_> = calls
            .into_iter()
            .zip(limits)
            .map(|((call, pending), is_limited)| {
                runtime.spawn(async move {
                    if is_limited {
                        let limited = tokio::time::timeout(Duration::from_millis(3), call);
                        // The call is dropped with its future.
                        return limited.await.map_or((), |outcome| pending.done(outcome));
                    }
                    pending.done(call.await);
                })
            })
            .collect();
        if self.random.once_in(4) {
            let micros = self.random.up_to_bits(13);
            runtime.block_on(async { tokio::time::sleep(Duration::from_micros(micros)).await });
            return drop(runtime);
        }
        runtime.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
        });
    }

    fn callbacks(&mut self, hand: &Hand, numbers: Range<u32>) {
        let is_prompt = self.plan.has_quick_callbacks();
        let is_alone = self.plan.callers == 1 && self.plan.kind != Kind::Mixed;
        let is_exact = is_alone && !self.plan.concurrent;
        let mut late = Vec::new();
        for number in numbers {
            let is_late = self.random.once_in(6);
            let call = self.call(hand, number, |terms| {
                terms.is_callback = is_exact && !is_late;
                terms.is_prompt = is_prompt && !is_late;
            });
            match call {
                Some(call) if is_late => late.push(call),
                Some(call) => self.register(call),
                None => {}
            }
        }
        // A child that runs one call after the other has answered all others then, if nothing has ended it.
        let last = late.pop();
        self.take(last);
        late.into_iter().for_each(|call| self.register(call));
    }

    /// Has a callback complete the call.
    fn register(&mut self, (call, mut pending): (Open, Pending)) {
        pending.is_owed = true;
        let panics = self.plan.panicking && self.random.once_in(8);
        let inside = self.random.once_in(8).then(|| Arc::clone(self.inside));
        let ledger = Arc::clone(self.ledger);
        call.on_done(move |outcome| {
            pending.done(outcome);
            if let Some(inside) = inside {
                inside.call(&ledger);
            }
            assert!(!panics, "{}", crate::ON_PURPOSE);
        });
    }

    fn detach(&mut self, hand: &Hand, numbers: Range<u32>) {
        for number in numbers {
            let Some((call, pending)) = self.call(hand, number, |_| ()) else {
                continue;
            };
            match call.detach() {
                Ok(()) => pending.detached(),
                Err(waits) => {
                    let outcome = waits.into_inner().wait();
                    pending.done(outcome);
                }
            }
        }
    }

    fn map(&mut self, hand: &Hand, numbers: Range<u32>, is_ordered: bool) {
        let Hand::Function(rpc) = hand else {
            return self.wait(hand, numbers);
        };
        let most = match self.random.below(3) {
            0 => self.random.below(numbers.len() as u64 + 1) as usize,
            _ => numbers.len(),
        };
        let window = 1 + self.random.up_to_bits(5) as usize;
        let (ledger, taken) = (self.ledger, RefCell::new(VecDeque::new()));
        let jobs = numbers.map(|number| {
            let (job, _, open) =
                self.accept(number, |terms| (terms.repeats, terms.is_timed) = (1, false));
            taken.borrow_mut().push_back(open);
            job
        });
        let (mut made, mut errors) = (0, Vec::new());
        let mut take = |outcome: Result<Reply, Error>| {
            made += 1;
            let mut taken: RefMut<'_, VecDeque<Pending>> = taken.borrow_mut();
            let place = match &outcome {
                _ if is_ordered => Some(0),
                Ok(reply) => taken.iter().position(|open| open.number == reply.number),
                Err(_) => None,
            };
            match (place.and_then(|place| taken.remove(place)), outcome) {
                (Some(open), outcome) => open.done(outcome),
                (None, Err(error)) if !is_ordered => errors.push((now(), error)),
                (None, outcome) => ledger.fault(format!("a map gave {outcome:?} of no item")),
            }
        };
        let map = match is_ordered {
            true => rpc.map(jobs),
            false => rpc.map_unordered(jobs),
        };
        let results = map.window(window).repeat(1).into_iter();
        results.take(most).for_each(&mut take);
        if made != most {
            ledger.fault(format!("a map gave {made} of {most} results"));
        }
        let numbers = taken.borrow().iter().map(|open| open.number).collect();
        let unplaced = Unplaced { numbers, errors };
        ledger.unplaced.lock().unwrap().push(unplaced);
    }

    /// Each job in a child for it alone.
    pub(crate) fn once(&mut self, starter: &Starter<'_>, numbers: Range<u32>) {
        for number in numbers {
            let (builder, _) = starter.builder(self.plan.launch, self.plan.concurrent);
            let ledger = Arc::clone(self.ledger);
            let builder = builder.on_event(move |tick| ledger.tick(tick));
            let (job, _, pending) = self.accept(number, |terms| terms.is_timed = false);
            let once = builder.once(job);
            match self.random.below(6) {
                0 => drop((once, pending)),
                1 | 2 => pending.done(block_on(once)),
                _ => pending.done(once.wait()),
            }
        }
    }
}

/// Polls all calls whenever one of them may be done: the least of an executor.
fn futures_executor(mut calls: Vec<(Open, Pending)>) -> impl Future<Output = ()> {
    std::future::poll_fn(move |context| {
        let mut index = 0;
        while index < calls.len() {
            match std::pin::Pin::new(&mut calls[index].0).poll(context) {
                std::task::Poll::Ready(outcome) => calls.swap_remove(index).1.done(outcome),
                std::task::Poll::Pending => index += 1,
            }
        }
        if calls.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
}
