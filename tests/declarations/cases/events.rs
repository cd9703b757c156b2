use offspring::{Events, worker};

struct Progress(u32);

fn work(number: u32, events: &Events<Progress>) -> u32 {
    events.send(Progress(number)).unwrap();
    number
}

worker!(WORK: fn(u32) -> u32 = work, events = Progress);

fn main() {
    offspring::init();
    let rpc = WORK.on_event(|progress| println!("{}", progress.0)).spawn().unwrap();
    rpc.call(1).wait().unwrap();
}
