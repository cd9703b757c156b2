//! Each rule by itself.

use super::*;

fn count(world: &World) -> usize {
    world.scheduler.status().starting
        + world.scheduler.status().idle
        + world.scheduler.status().busy
}

/// `start`: the first child at once, the others one by one, and only while calls are queued.
#[test]
fn children_are_started_one_at_a_time() {
    let mut world = World::new(config());
    assert_eq!(count(&world), 0);
    world.submit();
    assert_eq!(count(&world), 1);
    world.ready(1);
    for _ in 0..9 {
        world.submit();
    }
    world.advance(99 * MS);
    assert_eq!(count(&world), 1);
    for expected in [2, 3, 4, 4] {
        world.advance(MS);
        world.ready(expected as Key);
        assert_eq!(count(&world), expected);
        world.advance(99 * MS);
    }
}

/// `stop`: one child in that time, down to `idle`, and the child first that has been idle longest.
#[test]
fn idle_children_are_closed_one_at_a_time() {
    let mut world = World::new(PoolConfig {
        idle: 1,
        start: Duration::ZERO,
        load: 1,
        ..config()
    });
    assert_eq!(count(&world), 1);
    for _ in 0..4 {
        world.submit();
    }
    for key in 1..=4 {
        world.ready(key);
    }
    for key in [3, 1, 2, 4] {
        world.advance(MS);
        world.answer(key);
    }
    assert_eq!(world.scheduler.status().idle, 4);
    let mut closed = Vec::new();
    for _ in 0..5 {
        world.advance(10_000 * MS);
        closed.push(world.children.values().filter(|fake| fake.closed).count());
    }
    assert_eq!(closed, [1, 2, 3, 3, 3]);
    assert!(!world.children[&4].closed && world.children[&3].closed);
}

/// The pause after a failed start doubles each time. After the fifth, queued calls fail.
#[test]
fn it_backs_off() {
    let mut world = World::new(config());
    let start = world.now;
    let ticket = world.submit();
    let mut waits = Vec::new();
    for key in 1..=9 {
        if key > 5 {
            assert!(world.ends.contains_key(&(key - 5)));
            world.submit();
        }
        let before = world.now;
        while !world.children.contains_key(&key) {
            assert!(world.now < start + 100_000 * MS);
            world.advance(MS);
        }
        waits.push((world.now - before).as_millis());
        assert!(
            !world
                .ends
                .contains_key(&(if key > 5 { key - 4 } else { ticket }))
        );
        world.die(key);
    }
    assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000]);
    assert_eq!(world.ends[&ticket], End::Failed(Fault::NoChild));
}

/// A child that had answered a call is replaced at once, whether a call crashed it or not.
#[test]
fn a_child_that_has_answered_is_replaced_at_once() {
    let mut world = World::new(config());
    world.submit();
    world.ready(1);
    world.answer(1);
    world.die(1);
    world.submit();
    assert!(world.children.contains_key(&2));
    world.ready(2);
    world.begin(2);
    world.die(2);
    assert_eq!(world.ends[&2], End::LostWithChild);
    world.submit();
    assert!(world.children.contains_key(&3));
}

/// X61: calls that crash their child, one after the other, cost a start each and no time, with any options.
#[test]
fn calls_that_end_their_child_delay_nothing() {
    let base = config();
    let kinds = [
        PoolConfig {
            load: 1,
            idle: 4,
            ..base.clone()
        },
        PoolConfig {
            max: vec![1],
            idle: 1,
            load: 1 << 16,
            ..base.clone()
        },
        PoolConfig {
            calls: Some(1),
            load: 1,
            ..base.clone()
        },
        PoolConfig {
            max: vec![1],
            ..base.clone()
        },
        PoolConfig {
            max: vec![2, 2],
            idle: 1,
            ..base.clone()
        },
    ];
    for config in kinds {
        let mut world = World::new(config.clone());
        world.settle_in();
        let start = world.now;
        let before = world.scheduler.status().started;
        for _ in 0..14 {
            let ticket = world.submit();
            world.settle_in();
            let (key, _) = world.holder(ticket);
            world.begin(key);
            world.die(key);
            world.gone(key);
            assert_eq!(world.ends[&ticket], End::LostWithChild);
        }
        let ticket = world.submit();
        world.settle_in();
        world.holder(ticket);
        assert_eq!(world.now, start, "{config:?}");
        let starts = world.scheduler.status().started - before;
        assert!(starts <= 15, "{starts} starts: {config:?}");
    }
}

/// X61: some of many queued calls crash their child.
#[test]
fn bad_calls_among_others_cost_a_start_each() {
    for calls in [None, Some(1)] {
        let mut world = World::new(PoolConfig {
            max: vec![4],
            load: 1,
            start: Duration::ZERO,
            calls,
            ..config()
        });
        let start = world.now;
        for _ in 0..200 {
            world.submit();
        }
        for _ in 0..1000 {
            world.settle_in();
            for key in world.children.keys().copied().collect::<Vec<_>>() {
                let bad = world.children[&key]
                    .calls
                    .first()
                    .is_some_and(|call| *call <= 10);
                world.begin(key);
                if bad {
                    world.die(key)
                } else {
                    world.answer(key)
                }
                if world.children[&key].closed {
                    world.die(key);
                }
                world.gone(key);
            }
        }
        assert_eq!(world.now, start);
        let good = world.ends.values().filter(|end| **end == End::Answered);
        assert_eq!(good.count(), 190);
        let counts = world.scheduler.status();
        assert_eq!(counts.died, 10);
        let most = if calls.is_some() { 200 } else { 14 };
        assert!(counts.started <= most, "{}", counts.started);
    }
}

/// X61: a child that a call crashed is replaced without waiting for `start`, even if others are busy.
#[test]
fn a_dead_child_is_replaced_while_others_are_busy() {
    let mut world = World::new(PoolConfig {
        load: 1,
        idle: 2,
        ..config()
    });
    world.settle_in();
    let long = world.submit();
    let bad = world.submit();
    let (busy, _) = world.holder(long);
    let (key, _) = world.holder(bad);
    assert_ne!(busy, key);
    world.advance(1000 * MS);
    world.settle_in();
    let children = count(&world);
    for _ in 0..5 {
        let bad = world.submit();
        let (key, _) = world.holder(bad);
        world.begin(key);
        world.die(key);
        world.settle_in();
        assert_eq!(count(&world), children);
    }
}

/// If children exit before they are given a call, starts for `idle` back off, each time longer. A start for a call does
/// not wait.
#[test]
fn children_that_end_by_themselves_are_started_more_and_more_rarely() {
    let mut world = World::new(PoolConfig {
        idle: 1,
        ..config()
    });
    let mut waits = Vec::new();
    for key in 1..=9 {
        let before = world.now;
        while !world.children.contains_key(&key) {
            world.advance(MS);
        }
        waits.push((world.now - before).as_millis());
        world.ready(key);
        world.die(key);
    }
    assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000]);
    assert_eq!(world.scheduler.status().failed, 0);
    world.submit();
    assert!(
        world.children.contains_key(&10),
        "a call does not wait for `idle`"
    );
    world.ready(10);
    world.answer(10);
    // It has answered a call, which ends backing off.
    world.die(10);
    assert!(world.children.contains_key(&11));
    world.ready(11);
    world.advance(10_000 * MS);
    world.die(11);
    assert!(
        world.children.contains_key(&12),
        "the child was ready for long"
    );
}

/// Children that exit together, for example killed from outside, count as one failure.
#[test]
fn several_at_once_count_once() {
    let mut world = World::new(PoolConfig {
        idle: 4,
        ..config()
    });
    world.settle_in();
    for key in 1..=4 {
        world.die(key);
    }
    world.advance(99 * MS);
    assert_eq!(count(&world), 0);
    world.advance(MS);
    assert!(count(&world) > 0);
}

/// If children are ready and exit before they start their calls, starts back off: the calls are queued again, and would
/// otherwise cause starts without end.
#[test]
fn a_child_that_starts_no_call_backs_off() {
    let mut world = World::new(config());
    let ticket = world.submit();
    let start = world.now;
    for key in 1..=5 {
        while !world.children.contains_key(&key) {
            world.advance(MS);
        }
        world.ready(key);
        world.holder(ticket);
        world.die(key);
    }
    assert_eq!((world.now - start).as_millis(), 100 + 200 + 400 + 800);
    assert!(world.ends.is_empty());
}

/// A call that starts ends backing off.
#[test]
fn a_call_that_starts_ends_the_backing_off() {
    let mut world = World::new(config());
    for key in [1, 3, 5] {
        world.submit();
        world.die(key);
        world.advance(99 * MS);
        assert!(!world.children.contains_key(&(key + 1)));
        world.advance(MS);
        assert!(world.children.contains_key(&(key + 1)), "{key}");
        world.ready(key + 1);
        world.begin(key + 1);
        world.die(key + 1);
        world.gone(key + 1);
    }
}

/// The child with the fewest calls, then the first kind, then the child that was used last.
#[test]
fn the_least_busy_child_gets_a_call() {
    let mut world = World::new(PoolConfig {
        max: vec![2, 2],
        idle: 4,
        ..config()
    });
    for key in 1..=4 {
        world.ready(key);
    }
    let given = |world: &mut World| {
        let ticket = world.submit();
        let of = world
            .children
            .iter()
            .find(|(_, fake)| fake.calls.contains(&ticket));
        of.map(|(key, _)| *key)
    };
    let first: Vec<_> = (0..9).map(|_| given(&mut world)).collect();
    let here: BTreeSet<_> = first[..2].iter().flatten().copied().collect();
    assert_eq!(here, BTreeSet::from([1, 2]));
    let there: BTreeSet<_> = first[2..4].iter().flatten().copied().collect();
    assert_eq!(there, BTreeSet::from([3, 4]));
    assert!(first[4..8].iter().all(Option::is_some) && first[8].is_none());
    world.answer(3);
    assert_eq!(world.order.last(), Some(&9));
    world.answer(1);
    assert_eq!(given(&mut world), Some(1));
}

/// While a kind backs off, the next kind is started.
#[test]
fn a_second_kind_steps_in() {
    let mut world = World::new(PoolConfig {
        max: vec![1, 1],
        ..config()
    });
    world.submit();
    world.die(1);
    assert_eq!(world.children[&2].kind, 1);
    for key in 2..=10 {
        assert!(world.ends.is_empty());
        while !world.children.contains_key(&key) {
            world.advance(MS);
        }
        world.die(key);
    }
    assert_eq!(world.ends[&1], End::Failed(Fault::NoChild));
}

/// A child that starts slowly does not delay the start of another.
#[test]
fn a_slow_start() {
    let mut world = World::new(config());
    world.submit();
    world.advance(900 * MS);
    assert_eq!(count(&world), 1);
    world.advance(300 * MS);
    assert_eq!(count(&world), 2);
    world.ready(2);
    assert_eq!(world.order, [1]);
}

/// After a permanent failure, calls fail at once, also new calls while the kind backs off. Then it is tried again.
#[test]
fn a_hopeless_start_is_told_at_once() {
    let mut world = World::new(config());
    let start = world.now;
    for _ in 0..3 {
        world.submit();
    }
    world.fail(1, true);
    for ticket in [1, 2, 3, world.submit()] {
        assert_eq!(world.ends[&ticket], End::Failed(Fault::NoChild), "{ticket}");
    }
    assert!(world.scheduler.fails() && world.children.is_empty());
    assert_eq!(world.now, start);
    world.advance(100 * MS);
    let ticket = world.submit();
    assert!(!world.ends.contains_key(&ticket));
    world.ready(2);
    world.answer(2);
    assert_eq!(world.ends[&ticket], End::Answered);
    assert!(!world.scheduler.fails());
}

/// Calls do not fail at once if a child is running, or if the last failure is not permanent.
#[test]
fn the_last_failure_counts() {
    let mut world = World::new(config());
    world.submit();
    world.children.get_mut(&1).unwrap().there = true;
    world.fail(1, true);
    assert_eq!(world.ends[&1], End::Failed(Fault::NoChild));
    world.advance(100 * MS);
    let ticket = world.submit();
    world.fail(2, false);
    world.advance(100 * MS);
    assert!(!world.ends.contains_key(&ticket));
}

/// If one kind fails permanently, calls wait for the other kind while its failures are not permanent.
#[test]
fn a_hopeless_kind_makes_way() {
    let mut world = World::new(PoolConfig {
        max: vec![1, 1],
        ..config()
    });
    let ticket = world.submit();
    world.fail(1, true);
    assert_eq!(world.children[&2].kind, 1);
    world.fail(2, false);
    assert!(world.ends.is_empty());
    world.advance(100 * MS);
    world.fail(3, true);
    world.ready(4);
    world.answer(4);
    assert_eq!(world.children[&4].kind, 1);
    assert_eq!(world.ends[&ticket], End::Answered);
}

/// A child is given no call while its memory is being read. The reads are limited in frequency.
#[test]
fn a_child_is_weighed_before_it_is_given_more() {
    let mut world = World::new(PoolConfig {
        max: vec![1],
        memory: Some(100),
        ..config()
    });
    let first = world.submit();
    world.ready(1);
    assert_eq!(std::mem::take(&mut world.weighings), [1]);
    assert!(world.children[&1].calls.is_empty());
    world.weighed(1, 100);
    assert_eq!(world.holder(first).0, 1);
    world.answer(1);
    assert!(world.weighings.is_empty(), "not so soon again");
    world.advance(100 * MS);
    world.observe(1);
    assert_eq!(std::mem::take(&mut world.weighings), [1]);
    let second = world.submit();
    assert!(world.children[&1].calls.is_empty());
    world.weighed(1, 101);
    assert!(world.children[&1].closed);
    world.ready(2);
    world.weighed(2, 0);
    assert_eq!(world.holder(second).0, 2);
}

#[test]
fn children_are_read_at_once_from_when_calls_wait_until_they_rest() {
    let mut world = World::new(PoolConfig {
        max: vec![2],
        idle: 2,
        ..config()
    });
    world.ready(1);
    world.ready(2);
    let eager = |world: &World| world.children.values().filter(|fake| fake.eager).count();
    for _ in 0..4 {
        world.submit();
    }
    assert_eq!(eager(&world), 0, "none waits");
    world.submit();
    assert_eq!(eager(&world), 2);
    world.answer(1);
    assert_eq!(
        eager(&world),
        2,
        "none waits now, but threads may wait at both"
    );
    (0..2).for_each(|_| world.answer(1));
    assert_eq!(eager(&world), 1);
    (0..2).for_each(|_| world.answer(2));
    assert_eq!(eager(&world), 0);
}
