//! The driver, one step after the other.
