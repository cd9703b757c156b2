//! The workers and preloads of this program, gathered by the linker.
//!
//! Every declaration leaves a [`Registration`] in a section of its own; the linker puts them side by side and says where
//! they start and stop. So the list is complete as soon as the program is, before anything has run.
//!
//! The macros here are the exception to "`unsafe` in `sys` alone": a static must be put into the section by the crate
//! that declares the worker, so they expand there. A section is an unsafe attribute because the linker believes whatever
//! lies in it. What makes it sound is that the macro fixes the static's type, and that the section's name is taken by
//! nothing else. A crate that forbids unsafe code accepts the expansion, since the attribute's text is ours.

use crate::base::registry::{Loads, Registered};

/// What a declaration leaves for `init` to find.
#[derive(Debug)]
pub enum Registration {
    /// Only to make sure that there is a section.
    Nothing,
    /// A worker.
    Worker(&'static dyn Registered),
    /// What a template may preload.
    Preload(&'static dyn Loads),
}

/// So that the section exists in a program without workers.
#[used]
// SAFETY: the section holds registrations only.
#[unsafe(link_section = "offspring_workers")]
static EMPTY: Registration = Registration::Nothing;

// SAFETY: the linker defines both for every section whose name is an identifier. As lists of nought entries they say
// where something is, and nothing of what is there.
unsafe extern "Rust" {
    #[link_name = "__start_offspring_workers"]
    static START: [Registration; 0];
    #[link_name = "__stop_offspring_workers"]
    static STOP: [Registration; 0];
}

/// The workers of this program, in no particular order.
pub(crate) fn registrations() -> impl Iterator<Item = &'static dyn Registered> {
    entries().filter_map(|entry| match entry {
        Registration::Worker(worker) => Some(*worker),
        _ => None,
    })
}

/// What templates of this program may preload, in no particular order.
pub(crate) fn preloads() -> impl Iterator<Item = &'static dyn Loads> {
    entries().filter_map(|entry| match entry {
        Registration::Preload(preload) => Some(*preload),
        _ => None,
    })
}

fn entries() -> impl Iterator<Item = &'static Registration> {
    let (start, stop) = (
        (&raw const START).cast::<Registration>(),
        (&raw const STOP).cast::<Registration>(),
    );
    // SAFETY: between the two symbols lie statics of this type and nothing else, in one section, without gaps, since
    // their size is a multiple of their alignment; they are never written to and live for ever.
    let entries = unsafe { std::slice::from_raw_parts(start, stop.offset_from_unsigned(start)) };
    entries.iter()
}

/// Leaves a registration for `init` to find. For the macros of this crate.
#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    ($worker:expr) => {
        $crate::__register!(Worker $worker);
    };
    ($kind:ident $worker:expr) => {
        const _: () = {
            #[used]
            // SAFETY: the static has the one type that this section is for.
            #[unsafe(link_section = "offspring_workers")]
            static REGISTRATION: $crate::__private::Registration =
                $crate::__private::Registration::$kind(&$worker);
        };
    };
}

/// Calls a function before `main`. For test binaries, whose `main` is not ours.
#[doc(hidden)]
#[macro_export]
macro_rules! __before_main {
    ($function:expr) => {
        const _: () = {
            #[used]
            // SAFETY: the section is a list of pointers to C functions, which the loader calls once each before `main`.
            // It hands them the arguments (glibc) or nothing (musl); one that takes none suits both. The standard library
            // has got the arguments by then: its own entry has a priority.
            #[unsafe(link_section = ".init_array")]
            static BEFORE_MAIN: extern "C" fn() = {
                extern "C" fn before_main() {
                    let function: fn() = $function;
                    function();
                }
                before_main
            };
        };
    };
}
