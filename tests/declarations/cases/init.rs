use offspring::worker;

struct Config(u32);

fn work(state: &mut u32, number: u32) -> u32 {
    *state + number
}

worker!(WORK: fn(u32) -> u32 = work, init(Config) = |config: Config| Ok::<_, String>(config.0));

fn main() {
    offspring::init();
    WORK.init(Config(1)).spawn().unwrap().call(1).wait().unwrap();
}
