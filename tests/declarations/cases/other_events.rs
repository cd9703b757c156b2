use offspring::{Events, worker};

fn count(sum: &mut u32, by: u32, events: &Events<String>) {
    *sum += by;
    events.send(sum.to_string()).expect("the parent reads");
}

worker!(COUNT: fn(u32) = count, init(u32) = |sum: u32| Ok::<u32, String>(sum), events = u32);

fn main() {
    offspring::init();
    COUNT.init(1).spawn().unwrap().call(1).wait().unwrap();
}
