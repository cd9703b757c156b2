//! The ways of a child through its life.

use super::*;

fn life(hello: Option<Duration>) -> Life {
    let expected = Expected {
        child: Arc::new(ChildId {
            pid: Some(1),
            ..ChildId::of_worker("worker")
        }),
        serialiser: "octets",
        confinement: Confinement::default(),
    };
    Life::new(expected, hello, None, true)
}

/// What happens to a child.
#[derive(Debug, Clone, Copy)]
enum Happens {
    Hello,
    Refusal,
    Ready,
    Retire,
    Close,
    StreamEnds,
    Exits,
    Kill,
    CannotKill,
    Late,
}

fn hello(fields: &[(&str, &[u8])]) -> Hello {
    let hello = Hello::new(crate::protocol::Role::Child);
    let own = [("worker", &b"worker"[..]), ("serialiser", b"octets")];
    let all = own.iter().chain(fields);
    all.fold(hello, |hello, (name, value)| hello.with(name, *value))
}

fn happens(life: &mut Life, what: Happens) {
    let later = Instant::now() + GRACE * 5;
    match what {
        Happens::Hello => life.greet(&hello(&[])).unwrap(),
        Happens::Refusal => drop(life.greet(&hello(&[("error", b"no")])).unwrap_err()),
        Happens::Ready => life.ready(),
        Happens::Retire => life.retire(),
        Happens::Close => life.close(),
        Happens::StreamEnds => life.stream_ends(Instant::now() + GRACE),
        Happens::Exits => life.exits(ExitStatus::Code(0), Vec::new()),
        Happens::Kill => life.doom(Ending::Killed("killed".into())),
        Happens::CannotKill => {
            life.cannot_be_told(libc::SIGKILL, &io::ErrorKind::PermissionDenied.into());
        }
        Happens::Late => {
            life.gives_up(later);
            life.alarm(Instant::now() + GRACE);
        }
    }
    life.finish();
}

/// What is seen of a child.
fn seen(life: &Life) -> String {
    let facts = [
        ("ready", matches!(life.readiness(), Some(Ok(())))),
        ("retired", life.is_retired()),
        ("takes", life.refusal().is_none()),
        ("over", life.is_over()),
        ("killed", life.was_killed()),
        (
            "failed",
            life.outcome().is_some_and(|outcome| outcome.is_err()),
        ),
    ];
    let facts = facts.iter().filter(|(_, is)| *is);
    facts.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_way_through_a_life() {
    use Happens::*;
    let table: [(&[Happens], &str); 17] = [
        (&[], "takes"),
        (&[Hello], "takes"),
        (&[Ready], "takes"),
        (&[Hello, Ready], "ready takes"),
        (&[Hello, Ready, Retire], "ready retired takes"),
        (&[Hello, Ready, Close], "ready"),
        (&[Hello, Ready, StreamEnds], "ready takes"),
        (&[Hello, Ready, Exits], "ready takes"),
        (&[Hello, Ready, Exits, StreamEnds], "ready over"),
        (&[Hello, Ready, StreamEnds, Exits], "ready over"),
        (&[Hello, Ready, Close, StreamEnds, Exits], "ready over"),
        (&[StreamEnds, Exits], "over"),
        (&[Refusal, Kill, StreamEnds, Exits], "over killed"),
        (
            &[Hello, Ready, Kill, Exits, StreamEnds],
            "ready over killed",
        ),
        // It closes the link and does not exit: that is its own fault.
        (&[Hello, Ready, StreamEnds, Late, Exits], "ready over"),
        // It cannot be killed, and is given up; what comes later changes nothing.
        (
            &[Hello, Kill, CannotKill, StreamEnds, Late],
            "over killed failed",
        ),
        (
            &[Hello, Kill, CannotKill, StreamEnds, Late, Exits],
            "over killed failed",
        ),
    ];
    for (way, expected) in table {
        let mut life = life(Some(Duration::from_secs(10)));
        way.iter().for_each(|what| happens(&mut life, *what));
        assert_eq!(seen(&life), expected, "{way:?}");
    }
    assert_eq!(seen(&life(None)), "ready takes", "a plain child is ready");
}

/// X72: the time for which nothing ran is granted once more.
#[test]
fn a_pause_is_not_held_against_the_child() {
    let mut life = life(Some(Duration::from_secs(10)));
    let start = life.next_alarm().unwrap();
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(life.alarm(at(100)), None);
    assert_eq!(life.next_alarm(), Some(at(100)));
    assert_eq!(life.alarm(at(100)), Some(libc::SIGKILL));
}
