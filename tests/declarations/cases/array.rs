//! An array of arguments that the default format does not carry.

offspring::worker!(SUM: fn(..Vec<Option<u32>>) -> u32 = |numbers: Vec<Option<u32>>| numbers.into_iter().flatten().sum());

fn main() -> Result<(), offspring::Error> {
    offspring::init();
    SUM.spawn()?.call(vec![Some(1), None]).wait()?;
    Ok(())
}
