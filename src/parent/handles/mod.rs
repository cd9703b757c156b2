//! What users hold: `Rpc`, `Call`, `Map`, events, and the typed `call` methods. They know the traits of `target.rs`, and no
//! child or pool.

pub(crate) mod call;
pub(crate) mod decode;
pub(crate) mod events;
mod invoke;
pub(crate) mod map;
pub(crate) mod once;
pub(crate) mod open;
pub(crate) mod rpc;
pub(crate) mod try_call_error;
