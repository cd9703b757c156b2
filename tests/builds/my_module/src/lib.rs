//! A module for Python, whose process cannot be a child. Functions panic, and so abort, if they are wrong.

use std::env;
use std::process::Command;

offspring::worker!(DOUBLE: fn(i32) -> i32 = |number: i32| 2 * number, name = "double");

/// Expects no start without `init`.
#[unsafe(no_mangle)]
pub extern "C" fn without_init() {
    let error = DOUBLE.spawn().unwrap_err().to_string();
    println!("{}", error.replace("double", "my_crate::DOUBLE"));
}

/// Expects that Python refuses the arguments of a child.
#[unsafe(no_mangle)]
pub extern "C" fn with_init() {
    offspring::init();
    let rpc = DOUBLE.spawn().unwrap();
    println!("{}", rpc.call(4).wait().unwrap_err());
}

/// Calls the program that the variable `WORKER` names.
#[unsafe(no_mangle)]
pub extern "C" fn of_a_program() {
    let program = Command::new(env::var_os("WORKER").unwrap());
    let rpc = DOUBLE.program(program).spawn().unwrap();
    assert_eq!(rpc.call(4).wait().unwrap(), 8);
}

/// Calls a thread of this process.
#[unsafe(no_mangle)]
pub extern "C" fn in_process() {
    let rpc = DOUBLE.builder().in_process().spawn().unwrap();
    assert_eq!(rpc.call(4).wait().unwrap(), 8);
}
