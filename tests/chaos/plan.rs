//! The plan of a scene: all that it does, chosen by its seed, and the errors that it can cause.

use std::path::PathBuf;

use offspring::{Error, ErrorKind};

use crate::Profile;
use crate::job::Orders;
use crate::random::Random;

/// How the children of a scene are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Launch {
    Own,
    OverSocket,
    Template,
    Program,
    Command,
    /// The plain form, with a program or a command.
    Plain,
    Socket,
    Thread,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Child,
    Service,
    Once,
    Pool,
    ServicePool,
    Mixed,
    Single,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Join,
    JoinWithin(u64),
    Kill,
    Drop,
    KillOnDrop,
}

/// All that a scene does, chosen by its seed.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The seed of the round.
    pub(crate) round: u64,
    pub(crate) profile: Profile,
    /// Children are shot at, and jobs end their children.
    pub(crate) under_fire: bool,
    pub(crate) kind: Kind,
    pub(crate) launch: Launch,
    /// Some children of a mixed pool are threads of this process.
    pub(crate) threads: bool,
    pub(crate) concurrent: bool,
    pub(crate) jobs: u32,
    /// How many calls callbacks make, at most.
    pub(crate) inside: u32,
    pub(crate) callers: u32,
    pub(crate) slow_events: bool,
    pub(crate) panicking: bool,
    pub(crate) streamed: bool,
    pub(crate) narrow: bool,
    pub(crate) limited: bool,
    pub(crate) recycled: bool,
    pub(crate) sandboxed: bool,
    pub(crate) end: End,
    pub(crate) marks: PathBuf,
}

impl Plan {
    pub(crate) fn new(
        round: u64,
        random: &mut Random,
        profile: Profile,
        under_fire: bool,
        marks: PathBuf,
    ) -> Self {
        use {Kind as K, Launch as L};
        let kind = random.pick(&[
            K::Child,
            K::Child,
            K::Child,
            K::Service,
            K::Once,
            K::Pool,
            K::Pool,
            K::ServicePool,
            K::Mixed,
            K::Single,
        ]);
        let launch = match kind {
            K::Once => random.pick(&[L::Own, L::Template]),
            K::Service | K::ServicePool | K::Mixed => {
                random.pick(&[L::Own, L::OverSocket, L::Template])
            }
            // A socket leads to one child.
            K::Child if random.once_in(8) => L::Socket,
            K::Child | K::Pool | K::Single => random.pick(&[
                L::Own,
                L::OverSocket,
                L::Template,
                L::Program,
                L::Command,
                L::Plain,
                L::Thread,
            ]),
        };
        let ends = [
            End::Join,
            End::Join,
            End::Drop,
            End::Kill,
            End::KillOnDrop,
            End::JoinWithin(random.below(50)),
        ];
        let streamed = kind == K::Child && random.once_in(6);
        let narrow = random.once_in(4);
        // Callbacks of two children whose queues are full may wait for each other's child: nothing ends that.
        let is_pool = matches!(kind, K::Pool | K::ServicePool | K::Mixed | K::Single);
        let may_be_stuck = narrow && is_pool;
        let may_call_inside = kind != K::Once && !streamed && !may_be_stuck;
        let calls_inside = may_call_inside && random.once_in(3);
        Self {
            round,
            profile,
            under_fire,
            kind,
            launch,
            threads: kind == K::Mixed && random.once_in(2),
            concurrent: !matches!(kind, K::Service | K::ServicePool) && random.once_in(3),
            jobs: if kind == K::Once {
                4 + random.below(8) as u32
            } else {
                10 + random.below(110) as u32
            },
            inside: if calls_inside {
                1 + random.below(30) as u32
            } else {
                0
            },
            callers: 1 + random.below(4) as u32,
            slow_events: random.once_in(8),
            panicking: random.once_in(4),
            streamed,
            narrow,
            limited: under_fire && launch != L::Thread && random.once_in(8),
            recycled: random.once_in(3),
            sandboxed: launch != L::Thread && random.once_in(5),
            end: if under_fire {
                random.pick(&ends)
            } else {
                random.pick(&ends[..3])
            },
            marks,
        }
    }

    /// The choices of a pool.
    pub(crate) fn random(&self) -> Random {
        Random::new(u64::from(self.jobs) << 8 | u64::from(self.callers))
    }

    pub(crate) fn is_pool(&self) -> bool {
        matches!(
            self.kind,
            Kind::Pool | Kind::ServicePool | Kind::Mixed | Kind::Single
        )
    }

    /// Children are threads of this process, so a job must not do what ends a process.
    pub(crate) fn has_threads(&self) -> bool {
        self.launch == Launch::Thread || self.threads
    }

    /// The link carries descriptors, and shared memory tells which calls started.
    pub(crate) fn is_local(&self) -> bool {
        let is_far = matches!(
            self.launch,
            Launch::Command | Launch::Plain | Launch::Socket
        );
        !is_far && self.kind != Kind::Mixed
    }

    /// The children count the calls that they start in memory that they share with this process.
    fn counts_starts(&self) -> bool {
        !matches!(self.launch, Launch::Command | Launch::Plain) && self.kind != Kind::Mixed
    }

    /// Each child of the scene runs one call after the other.
    pub(crate) fn is_one_by_one(&self) -> bool {
        !self.concurrent && self.kind != Kind::Mixed
    }

    /// There is one child.
    pub(crate) fn is_single(&self) -> bool {
        matches!(self.kind, Kind::Child | Kind::Service)
    }

    /// Nothing keeps a child from calling another child.
    pub(crate) fn may_nest(&self) -> bool {
        !(self.sandboxed || self.limited || self.profile.is_short())
    }

    /// The orders of a child that is started in this way.
    pub(crate) fn orders(&self, launch: Launch) -> Orders {
        Orders {
            marks: self.marks.to_str().unwrap().to_owned(),
            is_stormy: self.profile == Profile::Storm && launch != Launch::Thread,
            is_sandboxed: self.sandboxed && launch != Launch::Thread,
            is_plain: launch == Launch::Plain,
            may_nest: self.may_nest(),
        }
    }

    /// Callbacks do not hold up what lies behind them.
    pub(crate) fn has_quick_callbacks(&self) -> bool {
        !self.slow_events && self.inside == 0
    }

    /// Nothing is done on purpose that loses a call.
    pub(crate) fn is_calm(&self) -> bool {
        !self.under_fire && !self.profile.is_short()
    }

    /// The link of a child is cut while the child goes on: what the child makes after that does not arrive.
    pub(crate) fn cuts_links(&self) -> bool {
        let is_killed = self.under_fire || self.ends_children();
        is_killed && (self.launch == Launch::Socket || self.has_threads())
    }

    pub(crate) fn ends_children(&self) -> bool {
        !matches!(self.end, End::Join | End::Drop) || self.kind == Kind::Once
    }

    pub(crate) fn may_fail(&self, kind: ErrorKind, is_timed: bool) -> bool {
        let dies = self.under_fire || self.ends_children();
        match kind {
            ErrorKind::Panic => true,
            ErrorKind::Timeout => is_timed,
            ErrorKind::ChildDead | ErrorKind::Closed => dies || self.profile.is_short() || is_timed,
            ErrorKind::Start | ErrorKind::Handshake | ErrorKind::Init => {
                dies || self.profile.is_short()
            }
            ErrorKind::Full => self.profile.is_short(),
            ErrorKind::Encode | ErrorKind::Decode | ErrorKind::Refused => {
                self.profile.is_short() || self.limited
            }
            _ => false,
        }
    }

    /// Whether it may be unknown if the call of this error had started.
    pub(crate) fn may_be_unknown(&self, error: &Error) -> bool {
        let by_kind = matches!(error.kind(), ErrorKind::Refused | ErrorKind::Timeout);
        // Without a descriptor for its memory a link is a socket alone.
        !self.counts_starts() || self.profile.is_short() || by_kind
    }
}
