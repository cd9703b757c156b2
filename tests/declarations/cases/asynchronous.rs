use offspring::worker;

async fn twice(number: u32) -> u32 {
    number * 2
}

worker!(TWICE: fn(u32) -> u32 = twice);

fn main() {
    offspring::init();
    TWICE.spawn().unwrap().call(1).wait().unwrap();
}
