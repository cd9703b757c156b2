//! The parent's side: starting children and calling them.
//!
//! A module may use those that stand below it:
//!
//! ```text
//! builder  template            what users configure
//! pool                         gives calls to several children
//! spawn                        starting a child
//! handles  child               what users hold | one child: driver, state, process
//! client                       the traits between handles and a child or pool
//! forked  callbacks  reactor  creator
//! ```

mod builder;
mod callbacks;
mod child;
mod client;
mod creator;
mod forked;
mod handles;
mod pool;
mod reactor;
mod spawn;
mod template;

pub use self::builder::{Builder, Spawning};
pub use self::handles::call::Call;
pub use self::handles::events::{CallEventIter, CallEvents, EventIter, EventStream};
pub use self::handles::map::{Map, MapIter};
pub use self::handles::once::Once;
pub use self::handles::rpc::{Join, Ready, Rpc};
pub use self::handles::try_call_error::TryCallError;
pub use self::pool::{Pool, PoolBuilder, PoolStatus};
pub(crate) use self::spawn::WorkerInfo;
pub use self::spawn::streams::Stdio;
pub use self::template::{Template, TemplateBuilder};
