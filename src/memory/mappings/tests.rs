use super::{Mappings, RECENT};
use crate::sys::{SharedFile, SharedMap};
use std::sync::Arc;

/// The file arrives once more, by another descriptor, in a worker or not. Also returns the mapping that is dropped.
fn came(
    mappings: &mut Mappings,
    memory: &SharedMap,
    keeps: bool,
) -> (Arc<SharedMap>, Option<Arc<SharedMap>>) {
    let file = memory.file().try_clone_to_owned().unwrap();
    let found = SharedFile::new(file).unwrap();
    mappings.received(found, keeps).unwrap()
}

fn comes(mappings: &mut Mappings, memory: &SharedMap) -> Arc<SharedMap> {
    came(mappings, memory, true).0
}

/// The mappings of a worker, and `count` memories that its parent has created.
fn worker(count: usize) -> (Mappings, Vec<SharedMap>) {
    let memories = (0..count).map(|_| SharedMap::create(9).unwrap()).collect();
    (Mappings::default(), memories)
}

/// The indices of those that are kept, the latest last.
fn kept(mappings: &Mappings, memories: &[SharedMap]) -> Vec<usize> {
    let place = |kept: &Arc<SharedMap>| {
        let is_it = |memory: &SharedMap| memory.identity() == kept.identity();
        memories.iter().position(is_it).unwrap()
    };
    mappings.recent.iter().map(place).collect()
}

#[test]
fn ones_own_comes_back() {
    let (mut mappings, _) = worker(0);
    let own = Arc::new(SharedMap::create(9).unwrap());
    mappings.enter(&own);
    let back = comes(&mut mappings, &own);
    assert!(Arc::ptr_eq(&own, &back));
}

#[test]
fn what_was_dropped_is_still_mapped() {
    let (mut mappings, memories) = worker(1);
    let first = Arc::downgrade(&comes(&mut mappings, &memories[0]));
    let again = comes(&mut mappings, &memories[0]);
    assert!(std::ptr::eq(first.as_ptr(), Arc::as_ptr(&again)));
    assert_eq!(mappings.recent.len(), 1);
}

#[test]
fn a_parent_keeps_only_the_mappings_that_it_uses() {
    let (mut mappings, memories) = worker(1);
    let mut comes = || came(&mut mappings, &memories[0], false).0;
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
    let (mut mappings, memories) = worker(RECENT + 2);
    for memory in &memories[..RECENT] {
        comes(&mut mappings, memory);
    }
    assert!(came(&mut mappings, &memories[0], true).1.is_none());
    let (_, gone) = came(&mut mappings, &memories[RECENT], true);
    assert_eq!(kept(&mappings, &memories), [2, 3, 0, 4]);
    let first = gone.unwrap();
    assert_eq!(first.identity(), memories[1].identity());
    assert_eq!(
        Arc::strong_count(&first),
        1,
        "no other handle has it mapped"
    );
}

#[test]
fn those_that_are_gone_leave_no_entries() {
    let (mut mappings, _) = worker(0);
    for _ in 0..1000 {
        mappings.enter(&Arc::new(SharedMap::create(0).unwrap()));
    }
    assert!(mappings.in_use.len() <= 17, "{}", mappings.in_use.len());
    let held: Vec<_> = (0..100)
        .map(|_| Arc::new(SharedMap::create(0).unwrap()))
        .collect();
    held.iter().for_each(|memory| mappings.enter(memory));
    for memory in &held {
        assert!(Arc::ptr_eq(memory, &comes(&mut mappings, memory)));
    }
}

#[test]
fn what_cannot_be_mapped_is_an_error_and_leaves_nothing() {
    let (mut mappings, _) = worker(0);
    let sealed = crate::sys::SealedMap::copy(&[0; 5000]).unwrap();
    let found = SharedFile::new(sealed.file().try_clone_to_owned().unwrap()).unwrap();
    assert!(mappings.received(found, true).is_err());
    assert!(mappings.in_use.is_empty() && mappings.recent.is_empty());
}
