use std::pin::Pin;

use offspring::worker;

fn run(server: Pin<Box<dyn Future<Output = ()> + '_>>) {
    drop(server);
}

worker!(ECHO: fn(u32) -> u32 = |number: u32| number, runtime = run);

fn main() {
    offspring::init();
    ECHO.spawn().unwrap().call(1).wait().unwrap();
}
