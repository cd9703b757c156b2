use std::fs::File;

use offspring::worker;

worker!(SIZE: fn(File) -> u64 = |file: File| file.metadata().expect("it is open").len());

fn main() {
    offspring::init();
    let file = File::open("/dev/null").unwrap();
    assert_eq!(SIZE.spawn().unwrap().call(file).wait().unwrap(), 0);
}
