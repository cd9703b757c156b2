use offspring::{Cbor, worker};

struct Point;

worker!(COUNT: fn(Point) -> u32 = |_: Point| 1, serialiser = Cbor);

fn main() {
    offspring::init();
    COUNT.spawn().unwrap().call(Point).wait().unwrap();
}
