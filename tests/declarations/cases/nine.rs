use offspring::worker;

fn nine(_: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8) {}

worker!(NINE: fn(u8, u8, u8, u8, u8, u8, u8, u8, u8) = nine);

fn main() {
    offspring::init();
    NINE.spawn().unwrap().call(1, 2, 3, 4, 5, 6, 7, 8, 9).wait().unwrap();
}
