//! The parent's side: starting children and calling them.

mod alarm;
mod builder;
mod call;
mod callbacks;
mod changes;
mod connection;
mod core;
mod courier;
mod decode;
mod delivery;
mod demands;
mod driver;
mod events;
mod forked;
mod helper;
mod inbox;
mod invoke;
mod life;
mod maker;
mod member;
mod open;
mod origin;
mod pool;
mod roles;
mod room;
mod rpc;
mod start;
mod starter;
mod target;
mod template;
#[cfg(test)]
mod tests;
mod waiting;
mod wire;

pub use builder::Builder;
pub(crate) use builder::Declared;
pub use call::Call;
pub use events::{CallEventIter, CallEvents, EventIter, EventStream};
pub use pool::{Pool, PoolBuilder, PoolStatus};
pub use room::NoRoom;
pub use rpc::{Join, Ready, Rpc};
pub use template::{Template, TemplateBuilder};
