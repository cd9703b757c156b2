//! The children of a scene.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use offspring::{
    Builder, Call, Error, EventStream, Limits, PoolBuilder, Postcard, Rpc, Service, Template,
    TryCallError,
};

use crate::faults::Shots;
use crate::inside::Inside;
use crate::job::{
    BLOCKING, CONCURRENT, Job, Jobs, JobsClient, ORDERS, Orders, PLAIN, PLAIN_CONCURRENT, Reply,
    SERVICE, Tick,
};
use crate::ledger::Ledger;
use crate::plan::{End, Kind, Launch, Plan};
use crate::random::Random;

pub(crate) type Signature = fn(Job) -> Reply;
pub(crate) type Children = Builder<Signature, Postcard, Tick>;
pub(crate) type Handle = Rpc<Signature, Postcard, Tick>;

/// A handle of the children of a scene.
#[derive(Debug, Clone)]
pub(crate) enum Hand {
    Function(Handle),
    Service(Rpc<Service<dyn Jobs>, Postcard, Tick>),
}

impl Hand {
    pub(crate) fn call(&self, job: Job) -> Call<Reply, Tick> {
        match self {
            Self::Function(rpc) => rpc.call(job),
            Self::Service(rpc) => JobsClient::run(rpc, job),
        }
    }

    /// Makes the call if there is room; else it is not accepted.
    pub(crate) fn try_call(&self, job: Job) -> Option<Call<Reply, Tick>> {
        match self {
            Self::Function(rpc) => rpc.try_call(job).map_err(TryCallError::into_inner).ok(),
            Self::Service(rpc) => Some(JobsClient::run(rpc, job)),
        }
    }

    /// The process of a single child.
    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Self::Function(rpc) => rpc.pid(),
            Self::Service(rpc) => rpc.pid(),
        }
    }

    pub(crate) fn end(self, end: End) {
        match self {
            Self::Function(rpc) => finish(rpc, end),
            Self::Service(rpc) => finish(rpc, end),
        }
    }
}

fn finish<F, S, E>(rpc: Rpc<F, S, E>, end: End) {
    match end {
        End::Join => _ = rpc.join().wait(),
        End::JoinWithin(ms) => _ = rpc.join().within(Duration::from_millis(ms)).wait(),
        End::Kill => rpc.kill(),
        End::Drop | End::KillOnDrop => drop(rpc),
    }
}

/// The children of a scene, and what belongs to them.
#[derive(Debug)]
pub(crate) struct Crew {
    pub(crate) hand: Hand,
    /// A process of this program's own, at the other end of a socket.
    pub(crate) other: Option<Child>,
    /// The thread that reads the stream of events.
    pub(crate) reader: Option<thread::JoinHandle<()>>,
}

pub(crate) struct Starter<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) ledger: &'a Arc<Ledger>,
    pub(crate) inside: &'a Arc<Inside>,
    pub(crate) template: Option<&'a Template>,
    pub(crate) shots: &'a Shots,
}

impl Starter<'_> {
    pub(crate) fn builder(&self, launch: Launch, concurrent: bool) -> (Children, Option<Child>) {
        let orders = self.plan.orders(launch);
        let builder = match (launch, concurrent) {
            (Launch::Plain, true) => plain(PLAIN_CONCURRENT.builder(), &orders),
            (Launch::Plain, false) => plain(PLAIN.builder(), &orders),
            (_, true) => CONCURRENT.init(orders),
            (_, false) => BLOCKING.init(orders),
        };
        let mut other = None;
        let builder = match launch {
            Launch::Own => builder,
            Launch::OverSocket => builder.rings(false),
            Launch::Template => match self.template {
                Some(template) => builder.template(template),
                None => builder,
            },
            Launch::Program => builder.program(serving(launch, concurrent)),
            Launch::Command => builder.command(serving(launch, concurrent)),
            Launch::Plain if self.plan.callers.is_multiple_of(2) => {
                builder.program(serving(launch, concurrent))
            }
            Launch::Plain => builder.command(serving(launch, concurrent)),
            Launch::Thread => builder.in_process(),
            Launch::Socket => {
                let (ours, process) = at_a_socket(launch, concurrent);
                other = Some(process);
                builder.socket(ours)
            }
        };
        (self.options(builder, launch), other)
    }

    /// The options of one kind of children, except handlers.
    fn options<F, S: offspring::format::Format>(
        &self,
        builder: Builder<F, S, Tick>,
        launch: Launch,
    ) -> Builder<F, S, Tick> {
        let plan = self.plan;
        let null = offspring::Stdio::null;
        let builder = match launch {
            Launch::Socket | Launch::Thread => builder,
            // Its stdout is the link.
            Launch::Command | Launch::Plain => builder.stderr(null()),
            _ => builder.stderr(null()).stdout(null()),
        };
        let builder = if plan.narrow {
            builder.max_outstanding(3, 100 << 10).max_events(5, 1 << 10)
        } else {
            builder
        };
        if plan.limited && launch != Launch::Thread {
            builder.limits(Limits::new().memory(1 << 30).open_files(40))
        } else {
            builder
        }
    }

    pub(crate) fn start(&self) -> Result<Crew, Error> {
        match self.plan.kind {
            Kind::Child | Kind::Once => self.child(),
            Kind::Service => self.service(),
            Kind::Pool | Kind::Mixed | Kind::Single => self.pool(),
            Kind::ServicePool => self.service_pool(),
        }
    }

    fn child(&self) -> Result<Crew, Error> {
        let (builder, other) = self.builder(self.plan.launch, self.plan.concurrent);
        let builder = self.handlers(builder);
        let outcome = if self.plan.streamed {
            builder
                .spawn_with_events()
                .map(|(rpc, events)| (rpc, Some(self.read(events))))
        } else {
            builder.spawn().map(|rpc| (rpc, None))
        };
        match outcome {
            Ok((rpc, reader)) => Ok(Crew {
                hand: Hand::Function(rpc),
                other,
                reader,
            }),
            Err(error) => {
                other.into_iter().for_each(reap);
                Err(error)
            }
        }
    }

    fn service_builder(&self) -> Builder<Service<dyn Jobs>, Postcard, Tick> {
        let builder = SERVICE.init(self.plan.orders(self.plan.launch));
        let builder = match (self.plan.launch, self.template) {
            (Launch::Template, Some(template)) => builder.template(template),
            (Launch::OverSocket, _) => builder.rings(false),
            _ => builder,
        };
        self.options(builder, self.plan.launch)
    }

    fn service(&self) -> Result<Crew, Error> {
        let rpc = self.handlers(self.service_builder()).spawn()?;
        Ok(Crew {
            hand: Hand::Service(rpc),
            other: None,
            reader: None,
        })
    }

    fn handlers<F, S>(&self, builder: Builder<F, S, Tick>) -> Builder<F, S, Tick> {
        let [events, errors, destroys] = [(); 3].map(|()| Arc::clone(self.ledger));
        let (is_slow, panics) = (self.plan.slow_events, self.plan.panicking);
        let inside = Arc::clone(self.inside);
        builder
            .on_event(move |tick| {
                inside.call_after(tick, &events);
                handle(&events, tick, is_slow, panics);
            })
            .on_error(move |error| errors.reports.lock().unwrap().push(error))
            .on_destroy(move || _ = destroys.destroyed.fetch_add(1, Ordering::SeqCst))
            .kill_on_drop(self.plan.end == End::KillOnDrop)
    }

    fn read(&self, events: EventStream<Tick>) -> thread::JoinHandle<()> {
        let (ledger, is_slow) = (Arc::clone(self.ledger), self.plan.slow_events);
        let events = Mutex::new(Some(events));
        let read = Arc::new(move || {
            for tick in events
                .lock()
                .unwrap()
                .take()
                .into_iter()
                .flatten()
                .flatten()
            {
                handle(&ledger, tick, is_slow, false);
            }
        });
        crate::patiently(|| {
            let read = Arc::clone(&read);
            thread::Builder::new().spawn(move || read())
        })
    }

    fn pool(&self) -> Result<Crew, Error> {
        let plan = self.plan;
        let mut random = plan.random();
        let (builder, _) = self.builder(plan.launch, plan.concurrent);
        let mut pool = match plan.kind {
            Kind::Single => builder.pool().single(),
            _ => sized(builder.pool(), &mut random),
        };
        if plan.kind == Kind::Mixed {
            let others = [
                Launch::Template,
                Launch::Command,
                Launch::Own,
                Launch::Program,
            ];
            let threads = plan.threads.then_some(Launch::Thread);
            for launch in others.into_iter().chain(threads) {
                let (builder, _) = self.builder(launch, random.once_in(2));
                pool = pool.also(1 + random.below(2) as usize, builder);
            }
        }
        let pool = self.configured(pool, &mut random).spawn()?;
        Ok(Crew {
            hand: Hand::Function(pool.rpc().clone()),
            other: None,
            reader: None,
        })
    }

    fn service_pool(&self) -> Result<Crew, Error> {
        let mut random = self.plan.random();
        let pool = sized(self.service_builder().pool(), &mut random);
        let pool = self.configured(pool, &mut random).spawn()?;
        Ok(Crew {
            hand: Hand::Service(pool.rpc().clone()),
            other: None,
            reader: None,
        })
    }

    /// Sets the options of a pool.
    fn configured<F>(
        &self,
        mut pool: PoolBuilder<F, Postcard, Tick>,
        random: &mut Random,
    ) -> PoolBuilder<F, Postcard, Tick> {
        let plan = self.plan;
        if plan.recycled {
            pool = pool
                .max_calls(3 + random.below(20))
                .max_age(Duration::from_millis(5 + random.below(100)));
        }
        if plan.narrow {
            pool = pool.max_queue(8, 100 << 10);
        }
        let (backoff, stop) = (
            Duration::from_micros(random.below(3000)),
            Duration::from_millis(random.below(20)),
        );
        let pool = pool
            .start(Duration::from_micros(random.below(2000)))
            .stop(stop)
            .backoff(backoff, backoff * 4);
        self.pool_handlers(pool)
    }

    fn pool_handlers<F>(
        &self,
        pool: PoolBuilder<F, Postcard, Tick>,
    ) -> PoolBuilder<F, Postcard, Tick> {
        let [events, errors, destroys] = [(); 3].map(|()| Arc::clone(self.ledger));
        let (is_slow, panics) = (self.plan.slow_events, self.plan.panicking);
        let inside = Arc::clone(self.inside);
        pool.on_event(move |tick| {
            inside.call_after(tick, &events);
            handle(&events, tick, is_slow, panics);
        })
        .on_error(move |error| errors.reports.lock().unwrap().push(error))
        .on_destroy(move || _ = destroys.destroyed.fetch_add(1, Ordering::SeqCst))
        .kill_on_drop(self.plan.end == End::KillOnDrop)
    }
}

fn sized<F>(
    pool: PoolBuilder<F, Postcard, Tick>,
    random: &mut Random,
) -> PoolBuilder<F, Postcard, Tick> {
    let [children, load] = [(); 2].map(|()| 1 + random.below(4) as usize);
    pool.max(children).load(load)
}

fn handle(ledger: &Ledger, tick: Tick, is_slow: bool, panics: bool) {
    ledger.tick(tick);
    if is_slow {
        thread::sleep(Duration::from_micros(300));
    }
    assert!(
        !(panics && tick.sequence % 16 == 3),
        "{}",
        crate::ON_PURPOSE
    );
}

/// The plain form has no arguments of `init`, so the orders are in the environment.
fn plain(builder: Children, orders: &Orders) -> Children {
    let orders = serde_json::to_string(orders).unwrap();
    builder.plain().env(ORDERS, orders)
}

/// This program as one that serves the worker at its stdin and stdout.
fn serving(launch: Launch, concurrent: bool) -> Command {
    let mut command = Command::new("/proc/self/exe");
    let worker = match (launch, concurrent) {
        (Launch::Plain, true) => "plain-concurrent",
        (Launch::Plain, false) => "plain",
        (_, true) => "concurrent",
        (_, false) => "blocking",
    };
    command.args(["--serve", worker]);
    command
}

fn at_a_socket(launch: Launch, concurrent: bool) -> (UnixStream, Child) {
    let (ours, theirs) = crate::patiently(UnixStream::pair);
    let theirs = OwnedFd::from(theirs);
    let mut command = serving(launch, concurrent);
    command.stderr(Stdio::null());
    let process = crate::patiently(|| {
        command
            .stdin(theirs.try_clone()?)
            .stdout(theirs.try_clone()?);
        command.spawn()
    });
    (ours, process)
}

/// Waits for a process of this program's own, which has lost its link.
pub(crate) fn reap(mut process: Child) {
    let _ = process.wait();
}

/// Something to pass along.
pub(crate) fn some_file() -> Option<OwnedFd> {
    File::open("/dev/null").ok().map(OwnedFd::from)
}
