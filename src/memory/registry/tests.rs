use super::{KEPT, Registry};
use crate::sys::{Found, Lasting};
use std::sync::Arc;

/// It comes once more, by another descriptor.
fn comes(registry: &mut Registry, memory: &Lasting, gone: &mut Vec<Arc<Lasting>>) -> Arc<Lasting> {
    let file = memory.file().try_clone_to_owned().unwrap();
    let found = Found::new(file).unwrap();
    registry.arrived(found, true, gone).unwrap()
}

/// A registry of a worker, as many memories that its parent has made, and nothing gone.
fn worker(count: usize) -> (Registry, Vec<Lasting>, Vec<Arc<Lasting>>) {
    let memories = (0..count).map(|_| Lasting::create(9).unwrap()).collect();
    (Registry::default(), memories, Vec::new())
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
    let (mut registry, _, mut gone) = worker(0);
    let own = Arc::new(Lasting::create(9).unwrap());
    registry.enter(&own);
    let back = comes(&mut registry, &own, &mut gone);
    assert!(Arc::ptr_eq(&own, &back));
    assert!(registry.kept.is_empty(), "it is the owner's to keep it");
}

#[test]
fn what_was_dropped_is_still_mapped() {
    let (mut registry, memories, mut gone) = worker(1);
    let first = Arc::downgrade(&comes(&mut registry, &memories[0], &mut gone));
    let again = comes(&mut registry, &memories[0], &mut gone);
    assert!(std::ptr::eq(first.as_ptr(), Arc::as_ptr(&again)));
    assert_eq!(registry.kept.len(), 1);
}

#[test]
fn who_is_no_worker_keeps_only_what_it_uses() {
    let (mut registry, memories, mut gone) = worker(1);
    let mut comes = || {
        let file = memories[0].file().try_clone_to_owned().unwrap();
        let found = Found::new(file).unwrap();
        registry.arrived(found, false, &mut gone).unwrap()
    };
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
    let (mut registry, memories, mut gone) = worker(KEPT + 2);
    for memory in &memories[..KEPT] {
        comes(&mut registry, memory, &mut gone);
    }
    comes(&mut registry, &memories[0], &mut gone);
    assert!(gone.is_empty());
    comes(&mut registry, &memories[KEPT], &mut gone);
    assert_eq!(kept(&registry, &memories), [2, 3, 0, 4]);
    let first = gone.pop().unwrap();
    assert_eq!(first.identity(), memories[1].identity());
    assert_eq!(Arc::strong_count(&first), 1, "nobody else has it mapped");
}

#[test]
fn what_its_owner_dropped_is_let_go() {
    let (mut registry, mut memories, mut gone) = worker(3);
    for memory in &memories {
        comes(&mut registry, memory, &mut gone);
    }
    memories.remove(1);
    assert!(gone.is_empty());
    comes(&mut registry, &memories[0], &mut gone);
    assert_eq!(kept(&registry, &memories), [1, 0]);
    assert_eq!(gone.len(), 1);
}

#[test]
fn what_was_given_away_has_a_new_owner() {
    let (mut registry, mut memories, mut gone) = worker(1);
    let given = memories.pop().unwrap();
    let file = given.file().try_clone_to_owned().unwrap();
    drop(given);
    let found = Found::new(file).unwrap();
    let ours = registry.arrived(found, true, &mut gone).unwrap();
    assert!(ours.is_owned() && !ours.is_dropped());
    assert!(registry.kept.is_empty(), "nobody is to send it again");
    // Nor is it mapped twice.
    let again = comes(&mut registry, &ours, &mut gone);
    assert!(Arc::ptr_eq(&ours, &again));
}

/// Whatever stands in the mark, it is another's.
#[test]
fn a_lie_about_the_owner_only_makes_it_slower() {
    let (mut registry, memories, mut gone) = worker(1);
    comes(&mut registry, &memories[0], &mut gone);
    let liar = Found::new(memories[0].file().try_clone_to_owned().unwrap());
    let liar = liar.unwrap().map().unwrap();
    liar.adopt();
    drop(liar);
    let ours = comes(&mut registry, &memories[0], &mut gone);
    assert!(registry.kept.is_empty());
    ours.write(0, b"it works");
    assert!(!memories[0].is_dropped());
}

#[test]
fn those_that_are_gone_leave_no_entries() {
    let (mut registry, _, mut gone) = worker(0);
    for _ in 0..1000 {
        registry.enter(&Arc::new(Lasting::create(0).unwrap()));
    }
    assert!(registry.in_use.len() <= 17, "{}", registry.in_use.len());
    let held: Vec<_> = (0..100)
        .map(|_| Arc::new(Lasting::create(0).unwrap()))
        .collect();
    held.iter().for_each(|memory| registry.enter(memory));
    for memory in &held {
        assert!(Arc::ptr_eq(
            memory,
            &comes(&mut registry, memory, &mut gone)
        ));
    }
}

#[test]
fn what_cannot_be_mapped_is_an_error_and_leaves_nothing() {
    let (mut registry, _, mut gone) = worker(0);
    let sealed = crate::sys::Sealed::copy(&[0; 5000]).unwrap();
    let found = Found::new(sealed.file().try_clone_to_owned().unwrap()).unwrap();
    assert!(registry.arrived(found, true, &mut gone).is_err());
    assert!(registry.in_use.is_empty() && registry.kept.is_empty());
}
