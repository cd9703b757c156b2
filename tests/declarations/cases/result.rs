use offspring::worker;

worker!(HALF: fn(i32) -> Result<i32, String> = |number: i32| if number % 2 == 0 { Ok(number / 2) } else { Err("odd".into()) });

fn main() {
    offspring::init();
    assert_eq!(HALF.spawn().unwrap().call(2).wait().unwrap(), Ok(1));
}
