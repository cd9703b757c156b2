use offspring::{Events, worker};

async fn count(to: u32, events: &Events<String>) {
    for number in 0..to {
        events.send(number.to_string()).expect("the parent reads");
    }
}

worker!(COUNT: fn(u32) = count);

fn main() {
    offspring::init();
    COUNT.spawn().unwrap().call(1).wait().unwrap();
}
