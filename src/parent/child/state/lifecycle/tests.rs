//! Every order of news about a child, and what is then seen of it.

use super::*;

fn lifecycle(hello: Option<Duration>) -> Lifecycle {
    let expected = Expected {
        child: Arc::new(ChildId {
            pid: Some(1),
            ..ChildId::of_worker("worker")
        }),
        serialiser: "octets",
        confinement: Confinement::default(),
    };
    Lifecycle::new(expected, hello, None, true)
}

/// An event in the life of a child.
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

fn happens(lifecycle: &mut Lifecycle, what: Happens) {
    let later = Instant::now() + GRACE * 5;
    match what {
        Happens::Hello => lifecycle.accept_hello(&hello(&[])).unwrap(),
        Happens::Refusal => drop(
            lifecycle
                .accept_hello(&hello(&[("error", b"no")]))
                .unwrap_err(),
        ),
        Happens::Ready => lifecycle.ready(),
        Happens::Retire => lifecycle.retire(),
        Happens::Close => lifecycle.closing = true,
        Happens::StreamEnds => lifecycle.stream_ends(Instant::now() + GRACE),
        Happens::Exits => lifecycle.exited(ExitStatus::Code(0), Vec::new()),
        Happens::Kill => lifecycle.set_cause(ExitCause::Killed("killed".into())),
        Happens::CannotKill => {
            lifecycle.cannot_signal(libc::SIGKILL, &io::ErrorKind::PermissionDenied.into());
        }
        Happens::Late => {
            lifecycle.gives_up(later);
            lifecycle.time_out(Instant::now() + GRACE);
        }
    }
    lifecycle.finish();
}

/// Returns the visible state of a child.
fn seen(lifecycle: &Lifecycle) -> String {
    let facts = [
        ("ready", matches!(lifecycle.readiness(), Some(Ok(())))),
        ("retired", lifecycle.is_retired()),
        ("takes", lifecycle.refusal().is_none()),
        ("over", lifecycle.is_over()),
        ("killed", lifecycle.was_killed()),
        (
            "failed",
            lifecycle.outcome().is_some_and(|outcome| outcome.is_err()),
        ),
    ];
    let facts = facts.iter().filter(|(_, is)| *is);
    facts.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_way_through_a_lifecycle() {
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
        // A child that closes the link and does not exit was not killed for the user.
        (&[Hello, Ready, StreamEnds, Late, Exits], "ready over"),
        // A child that cannot be killed is given up, and later news changes nothing.
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
        let mut lifecycle = lifecycle(Some(Duration::from_secs(10)));
        way.iter().for_each(|what| happens(&mut lifecycle, *what));
        assert_eq!(seen(&lifecycle), expected, "{way:?}");
    }
    assert_eq!(
        seen(&lifecycle(None)),
        "ready takes",
        "a plain child is ready"
    );
}

/// X72: timeouts are moved by the time for which nothing ran.
#[test]
fn a_pause_moves_the_timeouts() {
    let mut lifecycle = lifecycle(Some(Duration::from_secs(10)));
    let start = lifecycle.next_timeout().unwrap();
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(lifecycle.time_out(at(100)), None);
    assert_eq!(lifecycle.next_timeout(), Some(at(100)));
    assert_eq!(lifecycle.time_out(at(100)), Some(libc::SIGKILL));
}
