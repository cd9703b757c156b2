//! A dynamic library of Rust that contains `offspring`, and declares a worker.

offspring::worker!(pub TRIPLE: fn(i32) -> i32 = |number: i32| 3 * number);
