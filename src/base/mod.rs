//! What every other module may use: locks and parking, spinning before a sleep, panics of code that is not the crate's,
//! reused buffers. Nothing here knows of calls, processes or descriptors.

pub(crate) mod panics;
pub(crate) mod spare;
pub(crate) mod spin;
pub(crate) mod sync;
