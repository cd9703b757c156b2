use offspring::{Cbor, worker};

worker!(ECHO: fn(String) -> String = |text: String| text, serialiser = Cbor);

fn main() {
    offspring::init();
    ECHO.spawn().unwrap().call("so").wait().unwrap();
}
