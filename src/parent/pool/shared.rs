//! The doing of a pool: what happens comes in as [`News`], and whoever brings it
//! does what the [`Plan`] says.
//!
//! There is no thread of the pool's own for it. News is put down, and if nobody
//! is at work on it, whoever brought it is: the thread that calls, or the one
//! that read an answer (a thread that waits, or the helper). So the next call
//! goes out on the thread that read the answer. What is done is done in the
//! order of the news, by one thread at a time, and without the lock held, since
//! it may write to a child or wake somebody; none of it blocks.
//!
//! The exception is starting a child, which may take as long as the system
//! likes: each launcher has a thread for it (`starter.rs`).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use super::aside::{Aside, Job};
use super::bell::Bell;
use super::launcher::Launcher;
use super::plan::{Change, Counts, Fault, Key, Order, Plan, Seen, Ticket};
use super::route::{Attempt, Route};
use crate::base::sync::{Mutex, MutexGuard};
use crate::error::Error;
use crate::exit_status::ExitStatus;
use crate::parent::alarm::Alarm;
use crate::parent::child::member::{Attention, Member};
use crate::parent::maker::Maker;
use crate::trace;

/// How often it is looked how much memory a child has.
const WEIGH: Duration = Duration::from_millis(100);

/// Something has happened.
pub(super) enum News {
    /// A call came.
    Call(Arc<Route>),
    /// A call came back from a child.
    Back(Arc<Route>),
    /// Nobody wants it any more.
    Withdraw(Ticket),
    /// It is to be done by then.
    Deadline(Ticket, Instant),
    /// There is something new to see of this child.
    Look(Key),
    Started(Key, Arc<Member>),
    Failed(Key, Error),
    /// It may be time for something.
    Time,
    Close,
    CloseWithin(Instant),
    Kill,
}

/// See the module.
pub(super) struct Shared {
    pub(super) maker: Maker,
    name: &'static str,
    work: Mutex<Work>,
    pub(super) launchers: Vec<Launcher>,
    alarm: OnceLock<Alarm>,
    /// How many calls may wait, and how many octets of them.
    pub(super) limits: (usize, usize),
    /// Whether memory is of interest.
    weighs: bool,
    aside: Arc<Aside>,
    bell: Bell,
}

pub(super) struct Work {
    plan: Plan,
    news: VecDeque<News>,
    /// Somebody is at it.
    busy: bool,
    members: HashMap<Key, Kept>,
    /// The calls that wait.
    queue: HashMap<Ticket, Arc<Route>>,
    pub(super) tickets: Ticket,
    /// How many wait, with how many octets, also those that nobody has looked
    /// at yet.
    pub(super) waiting: usize,
    pub(super) octets: usize,
    /// No more calls are taken.
    pub(super) closing: bool,
    /// Who waits for a child to be ready, or for the end.
    changes: Vec<Waker>,
    /// Why the last start failed.
    failure: Option<Error>,
    limit: Option<Instant>,
    status: ExitStatus,
    on_destroy: Option<Job>,
    /// Nothing is left but callbacks of the pool's own.
    over: bool,
    /// And these are under way.
    settled: bool,
}

struct Kept {
    member: Arc<Member>,
    weighed: Option<Instant>,
}

/// What is done without the lock.
enum Deed {
    Start(Key, usize),
    Give(Arc<Route>, Key, Arc<Member>),
    Watch(Key, Arc<Member>),
    Attend(Key, Arc<Member>, Attention),
    Read(Arc<Member>),
    Close(Arc<Member>),
    CloseWithin(Arc<Member>, Instant),
    Kill(Arc<Member>),
    Fail(Arc<Route>, Error, bool),
    Forget(Arc<Member>),
    Report(usize, Error),
    Nested(Vec<Arc<Route>>),
    Over(Option<Job>),
    Wake(Vec<Waker>),
}

struct Watch {
    pool: Arc<Shared>,
    key: Key,
}

impl Wake for Watch {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.pool.tell(News::Look(self.key));
    }
}

struct Gathered {
    pool: Arc<Shared>,
    waker: Waker,
}

impl Wake for Gathered {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        let due = self.pool.bell.ring(&self.waker, Instant::now());
        if let (Some(at), Some(alarm)) = (due, self.pool.alarm.get()) {
            alarm.set(at);
        }
    }
}

struct Ring(Arc<Shared>);

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.0.tell(News::Time);
    }
}

impl Shared {
    /// Starts the pool: with the children that are to be there at once.
    pub(super) fn new(
        name: &'static str,
        plan: Plan,
        launchers: Vec<Launcher>,
        limits: (usize, usize),
        weighs: bool,
        on_destroy: Option<Job>,
    ) -> Result<Arc<Self>, Error> {
        let work = Work {
            plan,
            news: VecDeque::new(),
            busy: false,
            members: HashMap::new(),
            queue: HashMap::new(),
            tickets: 0,
            waiting: 0,
            octets: 0,
            closing: false,
            changes: Vec::new(),
            failure: None,
            limit: None,
            status: ExitStatus::Code(0),
            on_destroy,
            over: false,
            settled: false,
        };
        let pool = Arc::new(Self {
            maker: Maker::this(),
            name,
            work: Mutex::new(work),
            launchers,
            alarm: OnceLock::new(),
            limits,
            weighs,
            aside: Arc::default(),
            bell: Bell::default(),
        });
        let ring = Waker::from(Arc::new(Ring(Arc::clone(&pool))));
        let alarm = Alarm::new(ring)
            .map_err(|error| Error::start(format!("no helper for the pool: {error}")))?;
        let _ = pool.alarm.set(alarm);
        pool.tell(News::Time);
        Ok(pool)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock()
    }

    /// Something has happened.
    pub(super) fn tell(self: &Arc<Self>, news: News) {
        self.tell_in(self.lock(), news);
    }

    pub(super) fn tell_in<'a>(self: &'a Arc<Self>, mut work: MutexGuard<'a, Work>, news: News) {
        work.closing |= matches!(news, News::Close | News::CloseWithin(_) | News::Kill);
        work.news.push_back(news);
        if std::mem::replace(&mut work.busy, true) {
            return;
        }
        loop {
            let deeds = self.think(&mut work);
            if deeds.is_empty() && work.news.is_empty() {
                work.busy = false;
                let alarms = [work.plan.alarm(), self.bell.due()];
                let alarm = alarms.into_iter().flatten().min().filter(|_| !work.over);
                drop(work);
                if let (Some(at), Some(alarm)) = (alarm, self.alarm.get()) {
                    alarm.set(at);
                }
                return;
            }
            drop(work);
            deeds.into_iter().for_each(|deed| self.perform(deed));
            work = self.lock();
        }
    }

    /// Takes the news in, and says what is to be done.
    fn think(&self, work: &mut Work) -> Vec<Deed> {
        let now = Instant::now();
        let mut deeds = Vec::new();
        let mut looked = Vec::new();
        while let Some(news) = work.news.pop_front() {
            if let News::Look(key) = news {
                looked.push(key);
            }
            self.learn(work, news, now, &mut deeds);
        }
        // Who is about to be given something may have retired, or ended, and
        // news of it be on its way.
        for key in work.plan.takers() {
            if !looked.contains(&key) {
                self.look(work, key, now, &mut deeds);
            }
        }
        for order in work.plan.settle(now) {
            work.obey(order, &mut deeds);
        }
        let woken = self.bell.look(!work.queue.is_empty(), now);
        if !woken.is_empty() {
            deeds.push(Deed::Wake(woken));
        }
        deeds
    }

    fn learn(&self, work: &mut Work, news: News, now: Instant, deeds: &mut Vec<Deed>) {
        match news {
            News::Call(route) => {
                work.plan.submit(route.ticket, route.deadline());
                work.queue.insert(route.ticket, route);
            }
            News::Back(route) => {
                trace::call_moved(self.name, route.ticket);
                work.plan.submit_again(route.ticket, route.deadline());
                work.waiting += 1;
                work.octets += route.length;
                work.queue.insert(route.ticket, route);
            }
            News::Withdraw(ticket) => {
                work.plan.withdraw(ticket);
                work.leave_queue(ticket);
            }
            News::Deadline(ticket, at) => work.plan.set_deadline(ticket, at),
            News::Look(key) => self.look(work, key, now, deeds),
            News::Started(key, member) => {
                let watch = Deed::Watch(key, Arc::clone(&member));
                if let Some(at) = work.limit {
                    deeds.push(Deed::CloseWithin(Arc::clone(&member), at));
                }
                work.members.insert(
                    key,
                    Kept {
                        member,
                        weighed: None,
                    },
                );
                work.plan.started(key);
                deeds.push(watch);
            }
            News::Failed(key, error) => {
                trace::child_failed(self.name, key, &error);
                if let Some(launcher) = work.plan.launcher_of(key) {
                    deeds.push(Deed::Report(launcher, error.clone()));
                }
                let lasting = error.is_lasting();
                work.failure = Some(error);
                work.plan.failed(key, lasting, now);
                work.wake_changes(deeds);
            }
            News::Time => {}
            News::Close => work.plan.close(),
            News::CloseWithin(at) => {
                work.plan.close_within(at);
                work.limit = Some(at);
                let members = work.members.values();
                deeds.extend(members.map(|kept| Deed::CloseWithin(Arc::clone(&kept.member), at)));
            }
            News::Kill => work.plan.kill(),
        }
    }

    /// Looks how far a child is. Whoever holds a child's lock never asks for
    /// this one, so that it may be asked under it.
    fn look(&self, work: &mut Work, key: Key, now: Instant, deeds: &mut Vec<Deed>) {
        let Some(kept) = work.members.get_mut(&key) else {
            return;
        };
        let sight = kept.member.look();
        let weigh = self.weighs && kept.weighed.is_none_or(|last| now >= last + WEIGH);
        if weigh {
            kept.weighed = Some(now);
        }
        let seen = Seen {
            load: sight.load,
            answered: sight.answered,
            ready: sight.ready,
            retired: sight.retired,
            ended: sight.ended.is_some(),
            worked: sight.worked,
            hopeless: sight.unfit.as_ref().is_some_and(Error::is_lasting),
            killed: sight.killed,
            gone: sight.gone,
            memory: weigh.then(|| kept.member.memory()).flatten(),
        };
        let change = work.plan.saw(key, &seen, now);
        if change.ready {
            trace::child_ready(self.name, key);
        }
        if let Some(ended) = sight.ended.filter(|_| change.ended) {
            trace::child_ended(self.name, key, ended, !change.died);
            work.ended(ended, sight.unfit);
        }
        if change != Change::default() {
            trace::counts(self.name, &work.plan.counts().into());
            work.wake_changes(deeds);
        }
        if sight.full {
            let routes = work.queue.values().map(Arc::clone).collect();
            deeds.push(Deed::Nested(routes));
        }
        if !work.plan.knows(key)
            && let Some(kept) = work.members.remove(&key)
        {
            work.wake_changes(deeds);
            deeds.push(Deed::Forget(kept.member));
        }
    }

    fn perform(self: &Arc<Self>, deed: Deed) {
        match deed {
            Deed::Start(key, launcher) => self.start(key, launcher),
            Deed::Give(route, key, member) => match route.send(&member) {
                Attempt::Sent => {}
                Attempt::Dropped => self.tell(News::Look(key)),
                Attempt::Waits => {
                    self.tell(News::Look(key));
                    self.tell(News::Back(route));
                }
            },
            Deed::Watch(key, member) => {
                let watch = Watch {
                    pool: Arc::clone(self),
                    key,
                };
                member.watch(Waker::from(Arc::new(watch)));
            }
            Deed::Attend(key, member, attention) => {
                if attention != Attention::Usual {
                    trace::beat(self.name, key, attention == Attention::Deferred);
                }
                member.attend(attention);
            }
            Deed::Read(member) => member.read(),
            Deed::Close(member) => member.close(),
            Deed::CloseWithin(member, at) => member.close_within(at),
            Deed::Kill(member) => member.kill(),
            Deed::Fail(route, error, older) => route.fail(error, older),
            Deed::Forget(member) => member.unwatch(),
            Deed::Report(launcher, error) => {
                let own = Arc::clone(self);
                self.aside(Box::new(move || own.launchers[launcher].report(error)));
            }
            Deed::Nested(routes) => routes.iter().for_each(|route| route.wake_nested()),
            Deed::Over(on_destroy) => {
                self.launchers.iter().for_each(Launcher::retire);
                if let Some(on_destroy) = on_destroy {
                    self.aside(on_destroy);
                }
                if let Some(alarm) = self.alarm.get() {
                    alarm.turn_off();
                }
                let mut deeds = Vec::new();
                let mut work = self.lock();
                work.settled = true;
                work.wake_changes(&mut deeds);
                drop(work);
                deeds.into_iter().for_each(|deed| self.perform(deed));
            }
            Deed::Wake(wakers) => {
                for waker in wakers {
                    let _ = crate::base::panics::shielded(|| waker.wake());
                }
            }
        }
    }

    fn start(self: &Arc<Self>, key: Key, launcher: usize) {
        let own = Arc::clone(self);
        let start = move || {
            trace::child_starts(own.name, key, launcher);
            let news = match own.launchers[launcher].start() {
                Ok(member) => News::Started(key, Arc::new(member)),
                Err(error) => News::Failed(key, error),
            };
            own.tell(news);
        };
        self.launchers[launcher].push(start);
    }

    /// Has a callback run on a thread that is for callbacks.
    pub(super) fn aside(self: &Arc<Self>, job: Job) {
        let own = Arc::clone(self);
        let job = Box::new(move || {
            if let Err(panic) = crate::base::panics::shielded(job) {
                own.launchers[0].report(Error::callback(panic));
            }
        });
        let own = Arc::clone(self);
        self.aside.push(job, move || {
            let mut deeds = Vec::new();
            own.lock().wake_changes(&mut deeds);
            deeds.into_iter().for_each(|deed| own.perform(deed));
        });
    }

    /// This thread runs a callback of one of the children.
    pub(super) fn is_calling_back_here(&self) -> bool {
        let work = self.lock();
        let mut members = work.members.values();
        members.any(|kept| kept.member.is_calling_back_here())
    }

    /// This thread runs a callback of a child that is not read before it
    /// returns.
    pub(super) fn is_stuck_here(&self) -> bool {
        let work = self.lock();
        let mut members = work.members.values();
        members.any(|kept| kept.member.is_stuck_here())
    }

    /// Calls wait for a child, so what children answer is read at once, by the
    /// helper.
    pub(super) fn is_crowded(&self) -> bool {
        self.bell.is_crowded()
    }

    /// Wakes this one; if calls wait, together with others.
    pub(super) fn gathered(self: &Arc<Self>, waker: &Waker) -> Waker {
        if !self.is_crowded() {
            return waker.clone();
        }
        Waker::from(Arc::new(Gathered {
            pool: Arc::clone(self),
            waker: waker.clone(),
        }))
    }

    /// What can be counted.
    pub(super) fn counts(&self) -> Counts {
        if !self.maker.is_this() {
            return Counts::default();
        }
        self.lock().plan.counts()
    }

    pub(super) fn readiness(
        self: &Arc<Self>,
        waker: impl FnOnce() -> Waker,
    ) -> Option<Result<(), Error>> {
        let mut work = self.lock();
        if work.plan.has_ready() {
            return Some(Ok(()));
        }
        if work.closing {
            return Some(Err(Error::closed()));
        }
        if let Some(error) = work.failure.clone().filter(|_| work.plan.fails()) {
            return Some(Err(error));
        }
        work.plan.want_one();
        work.changes.push(waker());
        drop(work);
        self.tell(News::Time);
        None
    }

    pub(super) fn end(&self, waker: impl FnOnce() -> Waker) -> Option<Result<ExitStatus, Error>> {
        let mut work = self.lock();
        let Work { plan, members, .. } = &*work;
        let called_from = |key| {
            let kept: Option<&Kept> = members.get(&key);
            kept.is_some_and(|kept| kept.member.is_calling_back_here())
        };
        // A callback does not wait for itself.
        let but_for_this =
            || members.keys().any(|key| called_from(*key)) && plan.is_over_but_for(called_from);
        if (work.settled || but_for_this()) && self.aside.is_done() {
            return Some(Ok(work.status));
        }
        work.changes.push(waker());
        None
    }
}

impl Work {
    fn obey(&mut self, order: Order, deeds: &mut Vec<Deed>) {
        match order {
            Order::Start(key, launcher) => deeds.push(Deed::Start(key, launcher)),
            Order::Give(ticket, key) => {
                let route = self.leave_queue(ticket);
                let member = self.member(key);
                let give = route.zip(member);
                deeds.extend(give.map(|(route, member)| Deed::Give(route, key, member)));
            }
            Order::Close(key) => deeds.extend(self.member(key).map(Deed::Close)),
            Order::Kill(key) => deeds.extend(self.member(key).map(Deed::Kill)),
            Order::Attend(key, attention) => {
                let member = self.member(key);
                deeds.extend(member.map(|member| Deed::Attend(key, member, attention)));
            }
            Order::Read(key) => deeds.extend(self.member(key).map(Deed::Read)),
            Order::Fail(ticket, fault) => {
                let Some(route) = self.leave_queue(ticket) else {
                    return;
                };
                let error = match fault {
                    Fault::Late => Error::expired_unsent(),
                    Fault::NoChild => self.failure.clone().unwrap_or_else(Error::closed),
                    Fault::Closed => Error::closed(),
                };
                deeds.push(Deed::Fail(route, error, fault == Fault::Closed));
            }
            Order::Over => {
                self.over = true;
                deeds.push(Deed::Over(self.on_destroy.take()));
            }
        }
    }

    fn member(&self, key: Key) -> Option<Arc<Member>> {
        self.members.get(&key).map(|kept| Arc::clone(&kept.member))
    }

    fn leave_queue(&mut self, ticket: Ticket) -> Option<Arc<Route>> {
        let route = self.queue.remove(&ticket)?;
        self.waiting -= 1;
        self.octets -= route.length;
        Some(route)
    }

    fn wake_changes(&mut self, deeds: &mut Vec<Deed>) {
        deeds.push(Deed::Wake(std::mem::take(&mut self.changes)));
    }

    /// A child has ended so.
    fn ended(&mut self, ended: ExitStatus, unfit: Option<Error>) {
        if unfit.is_some() {
            self.failure = unfit;
        } else if self.closing && !ended.success() {
            self.status = ended;
        }
    }
}
