use offspring::worker;

fn add(a: i32, b: i32) -> i32 {
    a + b
}

worker!(ADD: fn(i32) -> i32 = add);

fn main() {
    offspring::init();
    ADD.spawn().unwrap().call(1).wait().unwrap();
}
