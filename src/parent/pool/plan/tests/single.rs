//! One rule after the other.

use super::*;

fn count(world: &World) -> usize {
    world.plan.counts().starting + world.plan.counts().idle + world.plan.counts().busy
}

/// `start`: the first at once, the others one by one, and only while calls wait.
#[test]
fn it_grows_slowly() {
    let mut world = World::new(rules());
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

/// `stop`: one in that time, down to `idle`, the one first that rested longest.
#[test]
fn it_shrinks_slowly() {
    let mut world = World::new(Rules {
        idle: 1,
        start: Duration::ZERO,
        load: 1,
        ..rules()
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
    assert_eq!(world.plan.counts().idle, 4);
    let mut closed = Vec::new();
    for _ in 0..5 {
        world.advance(10_000 * MS);
        closed.push(world.children.values().filter(|fake| fake.closed).count());
    }
    assert_eq!(closed, [1, 2, 3, 3, 3]);
    assert!(!world.children[&4].closed && world.children[&3].closed);
}

/// After a failure it waits, each time twice as long, and tells the callers
/// after the fifth.
#[test]
fn it_backs_off() {
    let mut world = World::new(rules());
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

/// A child that has worked is replaced at once; and one that could not start is
/// not held against the next.
#[test]
fn who_has_worked_is_replaced_at_once() {
    let mut world = World::new(rules());
    world.submit();
    world.ready(1);
    world.answer(1);
    world.advance(1000 * MS);
    world.die(1);
    world.submit();
    assert!(world.children.contains_key(&2));
    // One that never did is not.
    world.ready(2);
    world.begin(2);
    world.die(2);
    world.submit();
    assert!(!world.children.contains_key(&3));
    world.advance(100 * MS);
    assert!(world.children.contains_key(&3));
}

/// With one call for each child, those that die of theirs are seldom in a row.
#[test]
fn an_answer_ends_the_backing_off() {
    let mut world = World::new(Rules {
        max: vec![1],
        load: 1,
        calls: Some(1),
        ..rules()
    });
    for key in [1, 3, 5] {
        world.submit();
        world.advance(100 * MS);
        world.ready(key);
        world.begin(key);
        world.die(key);
        world.gone(key);
        world.submit();
        world.advance(99 * MS);
        assert!(!world.children.contains_key(&(key + 1)));
        world.advance(MS);
        assert!(world.children.contains_key(&(key + 1)), "{key}");
        world.ready(key + 1);
        world.answer(key + 1);
        world.die(key + 1);
        world.gone(key + 1);
    }
}

/// The least to do, the first kind, the last used.
#[test]
fn who_gets_a_call() {
    let mut world = World::new(Rules {
        max: vec![2, 2],
        idle: 4,
        ..rules()
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

/// A launcher that fails makes way for the next one.
#[test]
fn a_second_kind_steps_in() {
    let mut world = World::new(Rules {
        max: vec![1, 1],
        ..rules()
    });
    world.submit();
    world.die(1);
    assert_eq!(world.children[&2].launcher, 1);
    for key in 2..=10 {
        assert!(world.ends.is_empty());
        while !world.children.contains_key(&key) {
            world.advance(MS);
        }
        world.die(key);
    }
    assert_eq!(world.ends[&1], End::Failed(Fault::NoChild));
}

/// Who takes too long to start is not counted on.
#[test]
fn a_slow_start() {
    let mut world = World::new(rules());
    world.submit();
    world.advance(900 * MS);
    assert_eq!(count(&world), 1);
    world.advance(300 * MS);
    assert_eq!(count(&world), 2);
    world.ready(2);
    assert_eq!(world.order, [1]);
}
