offspring::service! {
    trait Numbers => NumbersClient {
        fn number(&self) -> u32;
        async fn double(&self, number: u32) -> u32;
        async fn triple(&self, number: u32) -> u32;
    }
}

impl Numbers for u32 {
    fn number(&self) -> u32 {
        *self
    }
    async fn double(&self, number: u32) -> u32 {
        number * 2
    }
    async fn triple(&self, number: u32) -> u32 {
        number * 3
    }
}

offspring::worker!(NUMBERS: dyn Numbers = || 1);

fn main() -> Result<(), offspring::Error> {
    offspring::init();
    let numbers = NUMBERS.spawn()?;
    numbers.number().wait()?;
    numbers.triple(numbers.double(1).wait()?).wait()?;
    Ok(())
}
