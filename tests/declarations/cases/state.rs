use offspring::worker;

fn count(state: &mut u32, by: u32) -> u32 {
    *state += by;
    *state
}

worker!(COUNT: fn(u32) -> u32 = count);

fn main() {
    offspring::init();
    COUNT.spawn().unwrap().call(1).wait().unwrap();
}
