use offspring::worker;

worker!(SUM: fn(Vec<f64>) -> f64 = |numbers: Vec<f64>| numbers.iter().sum());

fn main() {
    offspring::init();
    assert_eq!(SUM.spawn().unwrap().call(&[1.0, 2.0]).wait().unwrap(), 3.0);
}
