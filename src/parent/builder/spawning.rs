//! Starting a child without blocking the calling thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::Builder;
use crate::base::panics::shielded;
use crate::base::sync::Mutex;
use crate::error::{ChildId, Error};
use crate::parent::handles::rpc::Rpc;
use crate::parent::spawn::starter::Starter;

impl<F: 'static, S: 'static, E: Send + 'static> Builder<F, S, E> {
    /// Starts the child like [`spawn`](Self::spawn), on another thread: a future, for async code that must not block.
    ///
    /// The start goes on whether the future is polled or not. If the future is dropped, the child exits after its start,
    /// as with the last handle.
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
    /// The calling thread creates the one that starts the child, which inherits from it as with `spawn`. That thread stays
    /// until the child has exited; with a template, until the child is forked.
    #[doc(alias = "async")]
    pub fn spawn_async(mut self) -> Spawning<F, S, E> {
        let slot = Arc::new(Slot(Mutex::new(State::Starting(None))));
        match Starter::new() {
            Ok(starter) => {
                self.recipe.start_from(Arc::clone(&starter));
                let slot = Arc::clone(&slot);
                starter.push(move || {
                    let started = shielded(|| self.spawn());
                    slot.fill(started.unwrap_or_else(|panic| Err(Error::start(panic))));
                });
            }
            Err(error) => {
                let child = ChildId::of_worker(self.recipe.declared.name);
                slot.fill(Err(error.about(&Arc::new(child))));
            }
        }
        Spawning(slot)
    }
}

/// A child that is being started: a future of its handle, from [`Builder::spawn_async`].
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
pub struct Spawning<F, S = crate::Octets, E = crate::NoEvents>(Arc<Slot<F, S, E>>);

struct Slot<F, S, E>(Mutex<State<F, S, E>>);

enum State<F, S, E> {
    Starting(Option<Waker>),
    Started(Result<Rpc<F, S, E>, Error>),
    Taken,
}

impl<F, S, E> Slot<F, S, E> {
    fn fill(&self, started: Result<Rpc<F, S, E>, Error>) {
        let before = std::mem::replace(&mut *self.0.lock(), State::Started(started));
        if let State::Starting(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<F, S, E> Future for Spawning<F, S, E> {
    type Output = Result<Rpc<F, S, E>, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.0.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Started(started) => Poll::Ready(started),
            State::Starting(_) => {
                *state = State::Starting(Some(context.waker().clone()));
                Poll::Pending
            }
            State::Taken => panic!("a future is not polled after it is ready"),
        }
    }
}

impl<F, S, E> std::fmt::Debug for Spawning<F, S, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Spawning")
    }
}
