//! The functions that the concurrent server runs: async ones, and those that
//! answer through a [`Responder`].

use std::pin::Pin;
use std::sync::Arc;

use super::calls::Running;
use super::concurrent::{self, BACKEND};
use super::events::Events;
use super::function::{Child, Function, Serving, forms};
use super::panic::shield;
use super::responder::Responder;
use super::session::Backend;
use crate::parcel::{Parcel, Received};
use crate::protocol::{Failure, FailureCode};
use crate::signature::{Entire, each_arity};

/// Beside the form of what it takes: how it gives its result.
mod ways {
    #[derive(Debug)]
    pub struct Async;
    #[derive(Debug)]
    pub struct Responding;
}

macro_rules! functions {
    ($($name:ident),*) => {
        functions!(@ [($($name,)*)] [($($name,)*)] $($name),*);
    };
    // The type of the arguments, the pattern that takes them apart, their types.
    (@ $arguments:tt $pattern:tt $($name:ident),*) => {
        functions!(@async [state events] (ways::Async, forms::Plain); $arguments $pattern () ($($name),*) ());
        functions!(@async [state events] (ways::Async, forms::WithEvents); $arguments $pattern () ($($name),*) (events: Events<Ev>));
        functions!(@async [state events] (ways::Async, forms::WithState); $arguments $pattern (state: St) ($($name),*) ());
        functions!(@async [state events] (ways::Async, forms::WithBoth); $arguments $pattern (state: St) ($($name),*) (events: Events<Ev>));
        functions!(@responding [state events] (ways::Responding, forms::Plain); $arguments $pattern () ($($name),*) ());
        functions!(@responding [state events] (ways::Responding, forms::WithEvents); $arguments $pattern () ($($name),*) (events: Events<Ev>));
        functions!(@responding [state events] (ways::Responding, forms::WithState); $arguments $pattern (state: St) ($($name),*) ());
        functions!(@responding [state events] (ways::Responding, forms::WithBoth); $arguments $pattern (state: St) ($($name),*) (events: Events<Ev>));
    };
    (@async [$st:ident $ev:ident] $form:ty; [$arguments:ty] [$pattern:pat] ($($state:ident: $State:ty)?) ($($name:ident),*) ($($events:ident: $Events:ty)?)) => {
        #[allow(non_snake_case, unused_variables, reason = "variables are named like types, and not all are used")]
        impl<Fun, St, R, Ev, $($name),*> Function<$form, St, $arguments, R, Ev> for Fun
        where
            Fun: AsyncFn($(&$State,)? $($name,)* $(&$Events)?) -> R,
        {
            const BACKEND: Backend = BACKEND;
            fn serve(self, serving: Serving<St, $arguments, R, Ev>) -> i32 {
                serving.at_once(async |$st: &St, $pattern: $arguments, $ev: &Events<Ev>| {
                    self($($state,)? $($name,)* $($events)?).await
                })
            }
        }
    };
    (@responding [$st:ident $ev:ident] $form:ty; [$arguments:ty] [$pattern:pat] ($($state:ident: $State:ty)?) ($($name:ident),*) ($($events:ident: $Events:ty)?)) => {
        #[allow(non_snake_case, unused_variables, reason = "variables are named like types, and not all are used")]
        impl<Fun, St, R, Ev, $($name),*> Function<$form, St, $arguments, R, Ev> for Fun
        where
            Fun: Fn($(&$State,)? Responder<R>, $($name,)* $(&$Events)?),
        {
            const BACKEND: Backend = BACKEND;
            fn serve(self, serving: Serving<St, $arguments, R, Ev>) -> i32 {
                serving.with_responders(|$st, responder, $pattern, $ev| {
                    self($($state,)? responder, $($name,)* $($events)?);
                })
            }
        }
    };
}
each_arity!(functions);
functions!(@ [Entire<A1>] [Entire(A1)] A1);

/// A child's server, for a runtime that is to run it: see [`worker!`](crate::worker).
///
/// It is done once the parent is, or is gone.
pub type Server<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

impl<F, S, E, I> Child<F, S, E, I> {
    /// Has this run the server to its end.
    #[must_use]
    pub fn runtime(mut self, run: fn(Server<'_>)) -> Self {
        self.runtime = Some(run);
        self
    }
}

/// The events of a call until it is over, however it ends.
struct Lent<E>(Events<E>);

impl<E> Lent<E> {
    fn new(events: &Events<E>, id: u32) -> Self {
        let mut own = events.clone();
        own.enter(id);
        Self(own)
    }
}

impl<E> Drop for Lent<E> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl<State, Arguments, R, E> Serving<State, Arguments, R, E> {
    fn at_once(self, call: impl AsyncFn(&State, Arguments, &Events<E>) -> R) -> i32 {
        let Self {
            conversation,
            events,
            state,
            codec,
            max_running,
            runtime,
        } = self;
        let (call, state) = (&call, &state);
        let carries = conversation.outgoing.carries();
        let begin = |id: u32, arguments: Received<'_>| -> Result<Running<'_>, Failure> {
            let arguments = (codec.decode)(arguments)?;
            let lent = Lent::new(&events, id);
            Ok(Box::pin(async move {
                let output = call(state, arguments, &lent.0).await;
                let mut parcel = Parcel::new();
                (codec.encode)(output, &mut parcel.output(carries))?;
                Ok(Some(parcel))
            }))
        };
        concurrent::serve(conversation, max_running, runtime, &begin)
    }

    fn with_responders(self, call: impl Fn(&State, Responder<R>, Arguments, &Events<E>)) -> i32 {
        let Self {
            conversation,
            events,
            state,
            codec,
            max_running,
            runtime,
        } = self;
        let outgoing = Arc::clone(&conversation.outgoing);
        let begin = |id: u32, arguments: Received<'_>| -> Result<Running<'_>, Failure> {
            let arguments = (codec.decode)(arguments)?;
            let lent = Lent::new(&events, id);
            let (responder, answered) = Responder::new(&outgoing, &lent.0, id, codec.encode);
            shield(FailureCode::Panic, || {
                call(&state, responder, arguments, &lent.0);
            })?;
            Ok(Box::pin(async move {
                let answered = answered.await;
                drop(lent);
                answered
            }))
        };
        concurrent::serve(conversation, max_running, runtime, &begin)
    }
}
