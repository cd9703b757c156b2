//! The formats of `offspring`: how arguments, results and events become octets.
#![forbid(unsafe_code)]
