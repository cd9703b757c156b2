//! The worker of the module, as a program.

offspring::worker!(DOUBLE: fn(i32) -> i32 = |number: i32| 2 * number, name = "double");

fn main() {
    DOUBLE.serve();
}
