//! Tools that every other module may use: locks, parking, wakers, spinning before a sleep, catching panics, finding workers by
//! name. Nothing here knows of calls, processes or descriptors.

pub(crate) mod panics;
pub(crate) mod registry;
pub(crate) mod spin;
pub(crate) mod sync;
pub(crate) mod waker;
