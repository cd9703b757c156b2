//! Both halves over a model of a link that delivers any number of bytes at any time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::super::{
    Failure, FailureCode, FlowLimits, Form, HEADER, Hello, ReadUpTo, ReplyFrames, Request,
    RequestReader, Role, Started, StartedInfo,
};
use super::{CallOutcome, Caller, FrameReader, Notice, feed, message, written};

const LIMITS: FlowLimits = FlowLimits {
    calls: 4,
    bytes: 150,
    frame: 1000,
    descriptors: 1000,
};

/// A step of a run. A number is an index, modulo the number of candidates.
#[derive(Debug, Clone)]
enum Step {
    Call(usize),
    Cancel(usize),
    /// The counter of ids wraps: the next ids are the lowest that are free.
    ComeAround,
    /// That number of bytes reaches the socket, or the child, or the parent.
    Write(usize),
    Down(usize),
    Up(usize),
    /// The child takes the next request.
    Take,
    /// The child answers a request that it has taken, with a failure if `true`.
    Answer(usize, bool),
    Event,
    Collect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..100_usize).prop_map(Step::Call),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => Just(Step::ComeAround),
        2 => (1..200_usize).prop_map(Step::Write),
        2 => (1..200_usize).prop_map(Step::Down),
        2 => (1..200_usize).prop_map(Step::Up),
        3 => Just(Step::Take),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(which, fails)| Step::Answer(which, fails)),
        1 => Just(Step::Event),
        1 => Just(Step::Collect),
    ]
}

/// The end of a run.
#[derive(Debug, Clone)]
enum End {
    /// The parent closes its side, and the child finishes its calls.
    Drain,
    /// The child dies. That number of the bytes that it wrote still arrives.
    Death(usize, bool),
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Drain),
        (0..500_usize, any::<bool>()).prop_map(|(bytes, count)| End::Death(bytes, count)),
    ]
}

/// The events and answers that the child sent, in order, by serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    Event(u32),
    Answer(u32),
}

struct Pair {
    in_order: bool,
    caller: Caller,
    from_child: FrameReader,
    down: VecDeque<u8>,
    up: VecDeque<u8>,
    requests: RequestReader,
    from_parent: FrameReader,
    replies: ReplyFrames,
    /// Requests taken and not answered: id and serial number.
    running: Vec<(u32, u32)>,
    made: Vec<Made>,
    serials: u32,
    events: u32,
    // What is expected.
    calls: BTreeMap<u32, u32>,
    cancelled: BTreeSet<u32>,
    taken: BTreeSet<u32>,
    seen: Vec<Made>,
    resolved: BTreeMap<u32, CallOutcome>,
}

impl Pair {
    fn new(form: Form, in_order: bool) -> Self {
        let hello = (form == Form::Full).then(|| Hello::new(Role::Parent));
        let mut pair = Self {
            in_order,
            caller: Caller::new(hello.as_ref(), Vec::new(), LIMITS),
            from_child: FrameReader::new(form, 1000),
            down: VecDeque::new(),
            up: VecDeque::new(),
            requests: RequestReader::default(),
            from_parent: FrameReader::new(Form::Plain, 1000),
            replies: ReplyFrames::new(1000),
            running: Vec::new(),
            made: Vec::new(),
            serials: 0,
            events: 0,
            calls: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            taken: BTreeSet::new(),
            seen: Vec::new(),
            resolved: BTreeMap::new(),
        };
        if form == Form::Full {
            pair.up.extend(ReplyFrames::hello(&Hello::new(Role::Child)));
        }
        pair
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Call(size) => self.call(size),
            Step::Cancel(which) => self.cancel(which),
            Step::ComeAround => self.caller.start_ids_at(1),
            Step::Write(count) => self.write(count),
            Step::Down(count) => self.down(count),
            Step::Up(count) => self.up(count),
            Step::Take => drop(self.take()),
            Step::Answer(which, fails) => self.answer(which, fails),
            Step::Event => self.event(),
            Step::Collect => self.collect(),
        }
        let (open, bytes) = (self.caller.open(), self.caller.open_bytes());
        assert!(open <= LIMITS.calls && (open <= 1 || bytes <= LIMITS.bytes));
    }

    fn call(&mut self, size: usize) {
        self.serials += 1;
        let bytes = [&self.serials.to_be_bytes()[..], &vec![0; size]].concat();
        let id = self.caller.call(&mut message(&bytes, &[]), ());
        let old = self.calls.insert(id, self.serials);
        assert_eq!(old, None, "the id {id} is in use");
    }

    /// Calls whose handle exists are in `calls`.
    fn cancel(&mut self, which: usize) {
        let Some((&id, &serial)) = self.calls.iter().nth(which % self.calls.len().max(1)) else {
            return;
        };
        self.calls.remove(&id);
        self.cancelled.insert(serial);
        self.caller.cancel(id);
    }

    fn write(&mut self, count: usize) {
        let mut outbox = self.caller.take_outbox();
        let bytes = written(&outbox, 8);
        let bytes = &bytes[..count.min(bytes.len())];
        self.down.extend(bytes);
        outbox.consume(bytes.len());
        self.caller.wrote(bytes.len(), outbox);
    }

    fn down(&mut self, count: usize) {
        let bytes: Vec<u8> = self.down.drain(..count.min(self.down.len())).collect();
        feed(&mut self.from_parent, &bytes);
        self.requests.note_cancels(&mut self.from_parent);
    }

    fn take(&mut self) -> bool {
        match self.requests.next(&mut self.from_parent).unwrap() {
            None => return false,
            Some(Request::Call(id)) => {
                let serial = self.from_parent.bytes()[..4].try_into().unwrap();
                let serial = u32::from_be_bytes(serial);
                assert!(self.running.iter().all(|(other, _)| *other != id));
                assert!(self.taken.insert(serial), "handed out twice");
                self.running.push((id, serial));
            }
            Some(Request::Refuse(id, failure)) => {
                assert_eq!(failure.code, FailureCode::Cancelled);
                self.up.extend(ReplyFrames::failed(id, &failure));
            }
            Some(Request::Cancel(_) | Request::Hello(_)) => {}
        }
        true
    }

    fn answer(&mut self, which: usize, fails: bool) {
        if self.running.is_empty() {
            return;
        }
        let which = if self.in_order {
            0
        } else {
            which % self.running.len()
        };
        let (id, serial) = self.running.remove(which);
        self.made.push(Made::Answer(serial));
        if fails && self.from_child.form == Form::Full {
            let failure = Failure::new(FailureCode::Panic, serial.to_string());
            self.up.extend(ReplyFrames::failed(id, &failure));
            return;
        }
        self.send(id, serial);
    }

    fn event(&mut self) {
        self.events += 1;
        self.made.push(Made::Event(self.events));
        self.send(0, self.events);
    }

    fn send(&mut self, id: u32, number: u32) {
        let mut frame = [&[0; HEADER], &number.to_be_bytes()[..]].concat();
        self.replies.message(id, &mut frame).unwrap();
        self.up.extend(frame);
    }

    fn up(&mut self, count: usize) {
        let bytes: Vec<u8> = self.up.drain(..count.min(self.up.len())).collect();
        feed(&mut self.from_child, &bytes);
        let mut notices = Vec::new();
        while self
            .caller
            .read_frames(&mut self.from_child, &mut notices)
            .unwrap()
            == ReadUpTo::Hello
        {}
        for notice in notices {
            match notice {
                Notice::Event(bytes) => {
                    let number = u32::from_be_bytes((*bytes).try_into().unwrap());
                    self.seen.push(Made::Event(number));
                }
                Notice::Completed(id) => {
                    let serial = self.calls.get(&id);
                    let serial = serial.expect("a cancelled call was reported");
                    self.seen.push(Made::Answer(*serial));
                }
                Notice::Hello(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn collect(&mut self) {
        let done: Vec<_> = self
            .calls
            .keys()
            .copied()
            .filter(|id| self.caller.is_done(*id))
            .collect();
        for id in done {
            let serial = self.calls.remove(&id).unwrap();
            let outcome = self.caller.collect(id, |_| true).unwrap().0;
            match &outcome {
                CallOutcome::Result(bytes) => assert_eq!(**bytes, serial.to_be_bytes()),
                CallOutcome::Failed(failure) => assert_eq!(failure.message, serial.to_string()),
                CallOutcome::NotSent(failure) => panic!("not sent: {}", failure.message),
                CallOutcome::Lost(_) | CallOutcome::Expired(_) => {}
            }
            let twice = self.resolved.insert(serial, outcome);
            assert_eq!(twice, None);
        }
    }

    /// Moves all bytes and answers all calls, until nothing changes.
    fn drain(&mut self) {
        loop {
            self.write(usize::MAX);
            self.down(1 << 10);
            while self.take() {}
            while !self.running.is_empty() {
                self.answer(1, false);
            }
            self.up(1 << 10);
            let idle = self.down.is_empty() && self.up.is_empty();
            if idle && self.caller.is_flushed() {
                break;
            }
        }
        assert!(self.from_parent.is_empty() && self.from_child.is_empty());
        self.collect();
        assert!(
            self.resolved
                .values()
                .all(|outcome| !matches!(outcome, CallOutcome::Lost(_)))
        );
    }

    fn die(&mut self, bytes: usize, count: bool) {
        self.up(bytes);
        let known = if count {
            StartedInfo::Count(self.requests.started())
        } else {
            StartedInfo::Nothing
        };
        let lost: BTreeSet<_> = self.caller.fail_all(known).into_iter().collect();
        assert!(
            lost.iter().all(|id| self.calls.contains_key(id)),
            "a cancelled call is lost"
        );
        self.collect();
        for (serial, outcome) in &self.resolved {
            match outcome {
                CallOutcome::Lost(Started::No) => assert!(!self.taken.contains(serial)),
                CallOutcome::Lost(Started::Yes) => assert!(self.taken.contains(serial)),
                CallOutcome::Lost(Started::Unknown) => assert!(!count, "the child has said it"),
                _ => {}
            }
        }
    }

    fn finish(mut self, end: &End) {
        match *end {
            End::Drain => self.drain(),
            End::Death(bytes, count) => self.die(bytes, count),
        }
        assert!(self.calls.is_empty(), "{:?} are not resolved", self.calls);
        assert_eq!(self.caller.entries(), (0, 0));
        assert_eq!(
            self.resolved.len() + self.cancelled.len(),
            self.serials as usize
        );
        // Order: what is seen is what was sent, without the answers to cancelled calls.
        let mut seen = self.seen.iter().peekable();
        for made in &self.made {
            if seen.peek() == Some(&made) {
                seen.next();
            } else if seen.peek().is_some() {
                assert!(matches!(made, Made::Answer(serial) if self.cancelled.contains(serial)));
            }
        }
        assert_eq!(seen.next(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_call_is_resolved_once_and_in_order(
        full: bool,
        in_order: bool,
        steps in prop::collection::vec(step(), 0..200),
        end in end(),
    ) {
        let mut pair = Pair::new(if full { Form::Full } else { Form::Plain }, in_order);
        steps.iter().for_each(|step| pair.step(step));
        pair.finish(&end);
    }
}
