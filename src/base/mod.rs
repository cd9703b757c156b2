//! What every other module may use: locks, parking and wakers, spinning before a sleep and panics of code that is not the
//! crate's. Nothing here knows of calls, processes or descriptors.

pub(crate) mod panics;
pub(crate) mod registry;
pub(crate) mod spin;
pub(crate) mod sync;
pub(crate) mod waker;
