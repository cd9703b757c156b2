//! The start of a child without blocking the calling thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Builder;
use crate::error::{ChildId, Error};
use crate::parent::handles::rpc::Rpc;
use crate::parent::spawn::background::Background;
use crate::parent::spawn::starter::Starter;

impl<F: 'static, S: 'static, E: Send + 'static> Builder<F, S, E> {
    /// Starts the child like [`spawn`](Self::spawn), on another thread. Returns a future, for async code that must not block.
    ///
    /// The start does not depend on the future being polled. If the future is dropped, the child exits after its start, as when
    /// the last handle is dropped.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// # futures_lite::future::block_on(async {
    /// let template = offspring::Template::builder().start()?;
    /// let rpc = ECHO.template(&template).spawn_async().await?;
    /// assert_eq!(rpc.call("so").await?, "so");
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Threads
    ///
    /// The calling thread creates a thread that starts the child. The child inherits from the calling thread as with `spawn`. The
    /// created thread lives until the child has exited, or, with a template, until the child is forked.
    #[doc(alias = "async")]
    pub fn spawn_async(mut self) -> Spawning<F, S, E> {
        let child = Arc::new(ChildId::of_worker(self.recipe.declared.name));
        let starter = Starter::new().map_err(|error| error.about(&child));
        Spawning(Background::new(starter, move |starter| {
            self.recipe.start_from(starter);
            self.spawn()
        }))
    }
}

/// The future of a child's handle, from [`Builder::spawn_async`].
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let (one, two) = (ECHO.builder().spawn_async(), ECHO.builder().spawn_async());
/// let (one, two) = futures_lite::future::block_on(futures_lite::future::try_zip(one, two))?;
/// assert_ne!(one.pid(), two.pid());
/// # Ok(()) }
/// ```
#[must_use = "await it, or the child exits at once"]
pub struct Spawning<F, S = crate::Octets, E = crate::NoEvents>(Background<Rpc<F, S, E>>);

impl<F, S, E> Future for Spawning<F, S, E> {
    type Output = Result<Rpc<F, S, E>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<F, S, E> std::fmt::Debug for Spawning<F, S, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Spawning")
    }
}
