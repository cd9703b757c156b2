use offspring::{Bytes, worker};

worker!(LENGTH: fn(Bytes) -> usize = |bytes: Bytes| bytes.len());

fn main() {
    offspring::init();
    LENGTH.spawn().unwrap().call(Box::new("so")).wait().unwrap();
}
