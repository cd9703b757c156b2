//! One child as its parent sees it: the driver that reads and writes its link, the state behind the driver's lock,
//! and its process. How a child is started is in `spawn`; what users hold is in `handles`.

pub(crate) mod call;
pub(crate) mod connection;
pub(crate) mod courier;
pub(crate) mod driver;
pub(crate) mod member;
pub(crate) mod output;
pub(crate) mod state;
pub(crate) mod terms;
#[cfg(test)]
mod tests;
pub(crate) mod wire;
