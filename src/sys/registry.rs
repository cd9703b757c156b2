//! The workers and preloads of this program, gathered by the linker.
//!
//! Every declaration puts a [`RegistryEntry`] into one link section. The linker places them side by side and defines
//! symbols for start and end. So the list is complete when the program is linked, before any code runs.
//!
//! The macros here are the exception to "`unsafe` in `sys` only": they expand in the crate that declares the worker, because
//! that crate must put the static into the section. `link_section` is an unsafe attribute because the linker does not check
//! the content. It is sound here because the macro fixes the static's type, and no other code uses the section's name. A
//! crate that forbids unsafe code accepts the expansion, because the attribute's text is in this crate.

use crate::base::registry::{PreloadEntry, WorkerEntry};

/// An entry of a declaration, for `init`.
#[derive(Debug)]
pub enum RegistryEntry {
    /// The placeholder that makes the section exist.
    Nothing,
    /// A worker.
    Worker(&'static dyn WorkerEntry),
    /// A value that a template can preload.
    Preload(&'static dyn PreloadEntry),
}

/// Makes the section exist in a program without workers.
#[used]
// SAFETY: the section holds statics of this type only.
#[unsafe(link_section = "offspring_workers")]
static EMPTY: RegistryEntry = RegistryEntry::Nothing;

// SAFETY: the linker defines both for every section whose name is an identifier. As arrays of length zero they
// give addresses, and no content.
unsafe extern "Rust" {
    #[link_name = "__start_offspring_workers"]
    static START: [RegistryEntry; 0];
    #[link_name = "__stop_offspring_workers"]
    static STOP: [RegistryEntry; 0];
}

/// Returns the workers of this program, in no particular order.
pub(crate) fn registrations() -> impl Iterator<Item = &'static dyn WorkerEntry> {
    entries().filter_map(|entry| match entry {
        RegistryEntry::Worker(worker) => Some(*worker),
        _ => None,
    })
}

/// Returns the values that templates of this program can preload, in no particular order.
pub(crate) fn preloads() -> impl Iterator<Item = &'static dyn PreloadEntry> {
    entries().filter_map(|entry| match entry {
        RegistryEntry::Preload(preload) => Some(*preload),
        _ => None,
    })
}

fn entries() -> impl Iterator<Item = &'static RegistryEntry> {
    let start = (&raw const START).cast::<RegistryEntry>();
    let stop = (&raw const STOP).cast::<RegistryEntry>();
    // SAFETY: between the two symbols lie statics of this type only, in one section, without gaps, since
    // their size is a multiple of their alignment; they are never written to and live for ever.
    let entries = unsafe { std::slice::from_raw_parts(start, stop.offset_from_unsigned(start)) };
    entries.iter()
}

/// Registers an entry for `init`. For the macros of this crate.
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
            static REGISTRATION: $crate::__private::RegistryEntry =
                $crate::__private::RegistryEntry::$kind(&$worker);
        };
    };
}

/// Calls a function before `main`. For test binaries, whose `main` is the test harness's.
#[doc(hidden)]
#[macro_export]
macro_rules! __before_main {
    ($function:expr) => {
        const _: () = {
            #[used]
            // SAFETY: the section is an array of pointers to C functions, which the loader calls once each before `main`.
            // It passes the arguments (glibc) or none (musl); a function without parameters suits both. The standard
            // library has the arguments by then, because its entry has a priority.
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
