use offspring::worker;

async fn count(sum: &u32, by: u32) -> u32 {
    *sum + by
}

worker!(COUNT: fn(u32) -> u32 = count);

fn main() {
    offspring::init();
    COUNT.spawn().unwrap().call(1).wait().unwrap();
}
