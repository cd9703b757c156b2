//! A program whose `offspring` is in another object than its worker `OWN`.

use my_dylib::TRIPLE;

offspring::worker!(OWN: fn(i32) -> i32 = |number: i32| number);

fn main() -> Result<(), offspring::Error> {
    offspring::init();
    assert_eq!(TRIPLE.spawn()?.call(4).wait()?, 12);
    println!("{}", OWN.spawn()?.call(4).wait().unwrap_err());
    Ok(())
}
