//! Calls a worker of this program and a worker of a library. A panic is what the profile makes of it.

use my_library::NEGATE;
use offspring::Started;

fn double(number: i32) -> i32 {
    assert!(number < 1000, "too large: {number}");
    2 * number
}

offspring::worker!(DOUBLE: fn(i32) -> i32 = double);

fn main() -> Result<(), offspring::Error> {
    my_library::init();
    assert_eq!(NEGATE.spawn()?.call(4).wait()?, -4);
    let rpc = DOUBLE.spawn()?;
    assert_eq!(rpc.call(4).wait()?, 8);
    let error = rpc.call(1000).wait().unwrap_err();
    assert_eq!(error.started(), Started::Yes);
    match cfg!(panic = "abort") {
        true => println!("{error}"),
        false => assert_eq!(error.panic().unwrap().message(), "too large: 1000"),
    }
    with_its_stderr()?;
    in_a_pool()
}

fn with_its_stderr() -> Result<(), offspring::Error> {
    let rpc = DOUBLE.builder().capture_stderr(1000).spawn()?;
    let error = rpc.call(2000).wait().unwrap_err().to_string();
    assert!(error.contains("too large: 2000"), "{error}");
    Ok(())
}

/// The child is replaced, and a call that it has not started moves.
fn in_a_pool() -> Result<(), offspring::Error> {
    let pool = DOUBLE.pool().max(1).load(2).spawn()?;
    let (bad, good) = (pool.call(3000), pool.call(3));
    assert_eq!(bad.wait().unwrap_err().started(), Started::Yes);
    assert_eq!(good.wait()?, 6);
    Ok(())
}
