use offspring::{Events, service, worker};

pub struct Progress(u32);

service! {
    pub trait Work => WorkClient, events = Progress {
        fn run(&self, to: u32, events: &Events<Progress>) -> u32;
        fn number(&self) -> u32;
    }
}

struct Worker;

impl Work for Worker {
    fn run(&self, to: u32, events: &Events<Progress>) -> u32 {
        let _ = events.progress(Progress(to));
        to
    }
    fn number(&self) -> u32 {
        1
    }
}

worker!(WORK: dyn Work, name = "work");

fn main() {
    offspring::init();
    let work = WORK.spawn().unwrap();
    let mut call = work.run(1);
    for event in call.events() {
        println!("{}", event.unwrap().0);
    }
    call.wait().unwrap();
    let _ = Worker;
}
