use offspring::worker;

fn add(sum: &mut u32, number: u32) -> u32 {
    *sum += number;
    *sum
}

worker!(ADD: fn(u32) -> u32 = add, init(u32) = |first: u32| Ok::<u32, String>(first));

fn main() {
    offspring::init();
    ADD.init(1u32).pool().spawn().unwrap().call(1).wait().unwrap();
    ADD.spawn().unwrap().call(1).wait().unwrap();
    ADD.pool().spawn().unwrap().call(1).wait().unwrap();
    ADD.builder().spawn().unwrap().call(1).wait().unwrap();
}
