use offspring::{Cbor, service};

pub struct Point(i32, i32);

service! {
    pub trait Drawing => DrawingClient, serialiser = Cbor {
        fn name(&self) -> String;
        fn end(&self) -> Point;
    }
}

fn main() {
    offspring::init();
    println!("{}", Point(0, 1).0 + Point(0, 1).1);
}
