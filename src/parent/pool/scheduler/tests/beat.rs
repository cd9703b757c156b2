//! When children are read, in a rush of calls.

use super::*;

/// Two children that are ready, of a deep load, in a rush.
fn rushed() -> World {
    let mut world = World::new(Rules {
        max: vec![2],
        idle: 2,
        load: 16,
        ..rules()
    });
    world.ready(1);
    world.ready(2);
    world.rush(10 * MS);
    assert_eq!(world.deferred(), 2);
    world
}

#[test]
fn short_calls_are_read_on_a_beat() {
    let mut world = rushed();
    let reads = world.reads;
    let answered = world.scheduler.status().answered;
    world.rush(10 * MS);
    let answered = world.scheduler.status().answered - answered;
    assert!((380..=400).contains(&answered), "{answered} of 400");
    let reads = world.reads - reads;
    assert!((90..=100).contains(&reads), "{reads} of 2 in 200 µs");
}

#[test]
fn whoever_runs_out_of_work_is_read_at_once() {
    let mut world = rushed();
    for _ in 0..16 {
        world.answer(1);
    }
    world.advance(200 * US);
    assert_eq!(world.deferred(), 0);
    world.rush(5 * MS);
    assert_eq!(world.deferred(), 0, "not so soon again");
}

#[test]
fn a_child_that_dies_was_not_out_of_work() {
    let mut world = rushed();
    world.die(1);
    assert_eq!(world.deferred(), 1);
    world.rush(5 * MS);
    assert_eq!(world.deferred(), 1);
}

#[test]
fn with_nothing_in_the_queue_there_is_no_beat() {
    let mut world = rushed();
    while !world.scheduler.queue.is_empty() {
        world.answer(1);
        world.answer(2);
        world.advance(50 * US);
    }
    assert_eq!(world.deferred(), 0);
}

#[test]
fn long_calls_are_read_at_once() {
    let mut world = rushed();
    for _ in 0..5 {
        world.advance(MS);
    }
    assert_eq!(world.deferred(), 0);
}

#[test]
fn of_those_that_are_killed_none_waits_for_a_beat() {
    let mut world = rushed();
    world.closing = true;
    world.scheduler.kill();
    world.settle();
    assert_eq!(world.deferred(), 0);
}
