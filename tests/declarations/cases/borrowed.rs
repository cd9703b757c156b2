use offspring::worker;

fn greet(times: u32, name: &str) -> String {
    name.repeat(times as usize)
}

worker!(GREET: fn(u32, name: &str) -> String = greet);

fn main() -> Result<(), offspring::Error> {
    offspring::init();
    assert_eq!(GREET.spawn()?.call(2, "so").wait()?, "soso");
    Ok(())
}
