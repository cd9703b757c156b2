//! The handles of users: `Rpc`, `Call`, `Map`, events, and the typed `call` methods. They use the traits of `client.rs`, and
//! neither children nor pools.

pub(crate) mod call;
pub(crate) mod events;
mod invoke;
pub(crate) mod map;
pub(crate) mod once;
pub(crate) mod open_call;
pub(crate) mod rpc;
pub(crate) mod try_call_error;
