//! One child, seen by its parent: the driver that reads and writes its link, the state behind the
//! driver's lock, and its process. `spawn` starts a child; `handles` has what users hold.

pub(crate) mod call;
pub(crate) mod child_io;
pub(crate) mod driver;
pub(crate) mod handlers;
pub(crate) mod interface;
pub(crate) mod io;
pub(crate) mod output;
pub(crate) mod pool_child;
pub(crate) mod state;
#[cfg(test)]
mod tests;
