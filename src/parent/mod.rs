//! The parent's side: starting children and calling them.

mod builder;
mod call;
mod connection;
mod core;
mod delivery;
mod driver;
mod helper;
mod life;
mod roles;
mod rpc;
mod start;
#[cfg(test)]
mod tests;
mod waiting;
mod wire;

pub use builder::Builder;
pub(crate) use builder::Declared;
pub use call::Call;
pub use rpc::{EventIter, EventStream, Join, Ready, Rpc};
