//! Both halves, without a link.

mod call_events;
