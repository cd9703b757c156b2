//! How many descriptors may come.

use super::Builder;

impl<F, S, E: Send + 'static> Builder<F, S, E> {
    /// How many descriptors one call, result or event may hold, and how many
    /// that the child has sent may wait in this process: those of results that
    /// were not taken, and those of events that wait for a slow handler or
    /// reader. At least 1. Default: 1024, which is also what most systems let a
    /// process open.
    ///
    /// A call or result that holds more fails. A result for which there is no
    /// room beside those that wait fails, and its descriptors are closed. With
    /// too many descriptors in events that wait, the child is slowed down. A
    /// child that sends more than this before the message that they belong to
    /// breaks the protocol, and is killed. Descriptors that belong to no message
    /// are closed at once.
    ///
    /// ```
    /// # mod workers {
    /// # use offspring::Descriptor;
    /// # fn both(_: Descriptor, _: Descriptor) -> String { "two".into() }
    /// # offspring::worker!(pub TWO: fn(Descriptor, Descriptor) -> String = both);
    /// # }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # offspring::init();
    /// # use workers::TWO;
    /// use offspring::Descriptor;
    ///
    /// let null = || std::fs::File::open("/dev/null").map(|file| Descriptor::new(file.into()));
    /// let rpc = TWO.builder().max_descriptors(2).spawn()?;
    /// assert_eq!(rpc.call(null()?, null()?).wait()?, "two");
    /// let rpc = TWO.builder().max_descriptors(1).spawn()?;
    /// assert!(rpc.call(null()?, null()?).wait().unwrap_err().is_too_long());
    /// # Ok(()) }
    /// ```
    pub fn max_descriptors(mut self, count: usize) -> Self {
        let count = count.clamp(1, u32::MAX as usize);
        let recipe = &mut self.recipe;
        (recipe.limits.descriptors, recipe.events.descriptors) = (count, count);
        self
    }
}
