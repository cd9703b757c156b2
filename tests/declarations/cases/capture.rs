use offspring::worker;

fn main() {
    offspring::init();
    let by = 3;
    worker!(ADD: fn(u32) -> u32 = |number: u32| number + by);
    ADD.spawn().unwrap().call(1).wait().unwrap();
}
