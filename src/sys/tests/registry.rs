//! The entries of this test binary.

use crate::base::registry::{Named, WorkerEntry};
use crate::sys::registrations;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Debug)]
struct Sample(&'static str);
impl Named for Sample {
    fn name(&self) -> &'static str {
        self.0
    }

    fn origin(&self) -> String {
        format!("{}:0:0", file!())
    }
}
impl WorkerEntry for Sample {
    fn run(&'static self, _: Box<dyn std::any::Any>) -> i32 {
        unreachable!("it is not called")
    }
    fn run_here(&'static self, _: std::os::fd::OwnedFd) {
        unreachable!("it is not called")
    }
}

static FIRST: Sample = Sample("first");
static SECOND: Sample = Sample("second");
crate::__register!(FIRST);
crate::__register!(SECOND);

static EARLY: AtomicU32 = AtomicU32::new(0);
crate::__before_main!(|| EARLY.store(std::env::args().count() as u32, Ordering::Relaxed));

#[test]
fn every_registration_is_found() {
    let found: Vec<String> = registrations()
        .map(|worker| format!("{worker:?}"))
        .collect();
    for sample in [&FIRST, &SECOND] {
        let same = found
            .iter()
            .filter(|worker| **worker == format!("{sample:?}"))
            .count();
        assert_eq!(same, 1, "{found:?}");
    }
}

#[test]
fn the_hook_ran_before_main_and_saw_the_arguments() {
    assert_eq!(
        EARLY.load(Ordering::Relaxed) as usize,
        std::env::args().count()
    );
}
