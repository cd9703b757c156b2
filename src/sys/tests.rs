//! Tests of what needs more than one file, or a process of its own.
