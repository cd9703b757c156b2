//! A list as an argument of a method.

offspring::service! {
    pub trait Numbers => NumbersClient {
        fn sum(&self, numbers: Vec<f64>) -> f64;
    }
}

struct Sums;

impl Numbers for Sums {
    fn sum(&self, numbers: Vec<f64>) -> f64 {
        numbers.iter().sum()
    }
}

offspring::worker!(NUMBERS: dyn Numbers = || Sums);

fn main() -> Result<(), offspring::Error> {
    offspring::init();
    NUMBERS.spawn()?.sum(vec![1.0]).wait()?;
    Ok(())
}
