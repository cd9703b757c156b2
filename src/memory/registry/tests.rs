use super::{KEPT, Registry};
use crate::sys::{Found, Lasting};
use std::sync::Arc;

/// It comes once more, by another descriptor, to a worker or not; and what is kept no longer.
fn came(
    registry: &mut Registry,
    memory: &Lasting,
    keeps: bool,
) -> (Arc<Lasting>, Option<Arc<Lasting>>) {
    let file = memory.file().try_clone_to_owned().unwrap();
    let found = Found::new(file).unwrap();
    registry.arrived(found, keeps).unwrap()
}

fn comes(registry: &mut Registry, memory: &Lasting) -> Arc<Lasting> {
    came(registry, memory, true).0
}

/// A registry of a worker, and as many memories that its parent has made.
fn worker(count: usize) -> (Registry, Vec<Lasting>) {
    let memories = (0..count).map(|_| Lasting::create(9).unwrap()).collect();
    (Registry::default(), memories)
}

/// Which of these are kept, the latest last.
fn kept(registry: &Registry, memories: &[Lasting]) -> Vec<usize> {
    let place = |kept: &Arc<Lasting>| {
        let is_it = |memory: &Lasting| memory.identity() == kept.identity();
        memories.iter().position(is_it).unwrap()
    };
    registry.kept.iter().map(place).collect()
}

#[test]
fn ones_own_comes_back() {
    let (mut registry, _) = worker(0);
    let own = Arc::new(Lasting::create(9).unwrap());
    registry.enter(&own);
    let back = comes(&mut registry, &own);
    assert!(Arc::ptr_eq(&own, &back));
}

#[test]
fn what_was_dropped_is_still_mapped() {
    let (mut registry, memories) = worker(1);
    let first = Arc::downgrade(&comes(&mut registry, &memories[0]));
    let again = comes(&mut registry, &memories[0]);
    assert!(std::ptr::eq(first.as_ptr(), Arc::as_ptr(&again)));
    assert_eq!(registry.kept.len(), 1);
}

#[test]
fn who_is_no_worker_keeps_only_what_it_uses() {
    let (mut registry, memories) = worker(1);
    let mut comes = || came(&mut registry, &memories[0], false).0;
    let (one, two) = (comes(), comes());
    assert!(Arc::ptr_eq(&one, &two));
    let weak = Arc::downgrade(&one);
    drop((one, two));
    assert_eq!(weak.strong_count(), 0);
    comes();
    assert_eq!(weak.strong_count(), 0);
}

#[test]
fn the_least_lately_used_goes_first() {
    let (mut registry, memories) = worker(KEPT + 2);
    for memory in &memories[..KEPT] {
        comes(&mut registry, memory);
    }
    assert!(came(&mut registry, &memories[0], true).1.is_none());
    let (_, gone) = came(&mut registry, &memories[KEPT], true);
    assert_eq!(kept(&registry, &memories), [2, 3, 0, 4]);
    let first = gone.unwrap();
    assert_eq!(first.identity(), memories[1].identity());
    assert_eq!(Arc::strong_count(&first), 1, "nobody else has it mapped");
}

#[test]
fn those_that_are_gone_leave_no_entries() {
    let (mut registry, _) = worker(0);
    for _ in 0..1000 {
        registry.enter(&Arc::new(Lasting::create(0).unwrap()));
    }
    assert!(registry.in_use.len() <= 17, "{}", registry.in_use.len());
    let held: Vec<_> = (0..100)
        .map(|_| Arc::new(Lasting::create(0).unwrap()))
        .collect();
    held.iter().for_each(|memory| registry.enter(memory));
    for memory in &held {
        assert!(Arc::ptr_eq(memory, &comes(&mut registry, memory)));
    }
}

#[test]
fn what_cannot_be_mapped_is_an_error_and_leaves_nothing() {
    let (mut registry, _) = worker(0);
    let sealed = crate::sys::Sealed::copy(&[0; 5000]).unwrap();
    let found = Found::new(sealed.file().try_clone_to_owned().unwrap()).unwrap();
    assert!(registry.arrived(found, true).is_err());
    assert!(registry.in_use.is_empty() && registry.kept.is_empty());
}
