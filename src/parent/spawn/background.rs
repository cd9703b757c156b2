//! A start on another thread, and the future of its result.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::starter::Starter;
use crate::base::panics::catch_panic;
use crate::base::sync::Mutex;
use crate::base::waker::wake;
use crate::error::Error;

/// See the module. The start does not depend on this being polled.
pub(crate) struct Background<T>(Arc<Mutex<State<T>>>);

enum State<T> {
    Starting(Option<Waker>),
    Started(Result<T, Error>),
    Taken,
}

impl<T: Send + 'static> Background<T> {
    /// Runs `start` on the thread of `starter`, which it is given.
    pub(crate) fn new(
        starter: Result<Arc<Starter>, Error>,
        start: impl FnOnce(Arc<Starter>) -> Result<T, Error> + Send + 'static,
    ) -> Self {
        let own = Self(Arc::new(Mutex::new(State::Starting(None))));
        match starter {
            Ok(starter) => {
                let (theirs, thread) = (Self(Arc::clone(&own.0)), Arc::clone(&starter));
                starter.push(move || {
                    let started = catch_panic(|| start(thread));
                    theirs.fill(started.unwrap_or_else(|panic| Err(Error::start(panic))));
                });
            }
            Err(error) => own.fill(Err(error)),
        }
        own
    }

    fn fill(&self, started: Result<T, Error>) {
        let before = std::mem::replace(&mut *self.0.lock(), State::Started(started));
        if let State::Starting(Some(waker)) = before {
            wake(waker);
        }
    }
}

impl<T> Future for Background<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
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
