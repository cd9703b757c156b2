use offspring::worker;

worker!(NONE: fn(Option<u32>, u32) -> bool = |number: Option<u32>, _: u32| number.is_none());

fn main() {
    offspring::init();
    assert!(NONE.pool().spawn().unwrap().call(None, 1).wait().unwrap());
}
