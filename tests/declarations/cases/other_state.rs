use offspring::worker;

fn add(sum: &mut u64, number: u32) -> u64 {
    *sum += u64::from(number);
    *sum
}

worker!(ADD: fn(u32) -> u64 = add, init(u32) = |first: u32| Ok::<u32, String>(first));

fn main() {
    offspring::init();
    ADD.init(1).spawn().unwrap().call(1).wait().unwrap();
}
