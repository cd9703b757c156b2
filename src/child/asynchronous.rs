//! The functions that the concurrent server runs: async ones, and those that
//! answer through a [`Responder`].

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;

use offspring_serialisers::{Format, Serialiser};

use super::calls::Running;
use super::concurrent::{self, BACKEND};
use super::events::Events;
use super::function::{Child, Codec, Function, Serving, forms, method};
use super::outgoing::Outgoing;
use super::panic::shield;
use super::responder::Responder;
use super::session::Backend;
use crate::parcel::{Parcel, Received};
use crate::protocol::{Failure, FailureCode};
use crate::signature::{Entire, Signature, each_arity};

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
            fn serve(self, serving: Serving<Ev>, $st: St, codec: Codec<$arguments, R>) -> i32 {
                let (function, $st) = (&self, &$st);
                serving.at_once(&|request| {
                    request.begin_by(codec, async move |$pattern: $arguments, $ev: &Events<Ev>| {
                        function($($state,)? $($name,)* $($events)?).await
                    })
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
            fn serve(self, serving: Serving<Ev>, $st: St, codec: Codec<$arguments, R>) -> i32 {
                serving.at_once(&|request| {
                    request.respond(codec, |responder, $pattern, $ev| {
                        self($(&$state,)? responder, $($name,)* $($events)?);
                    })
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

/// One call that is to run beside others.
pub struct AsyncRequest<'r, E> {
    id: u32,
    arguments: Received<'r>,
    events: Lent<E>,
    outgoing: &'r Arc<Outgoing>,
}

impl<E> std::fmt::Debug for AsyncRequest<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AsyncRequest").field(&self.id).finish()
    }
}

impl<'r, E> AsyncRequest<'r, E> {
    /// The name of the method that is called.
    pub fn method<S: Format>(&self) -> Result<Cow<'r, str>, Failure> {
        method::<S>(&self.arguments)
    }

    /// Starts it as a call of this signature.
    pub fn begin<'a, F, S>(
        self,
        call: impl AsyncFnOnce(F::Call, &Events<E>) -> F::Output + 'a,
    ) -> Result<Running<'a>, Failure>
    where
        F: Signature,
        S: Serialiser<F::Arguments> + Serialiser<F::Output>,
        F::Call: 'a,
        E: 'a,
    {
        self.begin_by(Codec::new::<F, S>(), call)
    }

    fn begin_by<'a, Arguments: 'a, R: 'a>(
        self,
        codec: Codec<Arguments, R>,
        call: impl AsyncFnOnce(Arguments, &Events<E>) -> R + 'a,
    ) -> Result<Running<'a>, Failure>
    where
        E: 'a,
    {
        let arguments = (codec.decode)(self.arguments)?;
        let (events, carries) = (self.events, self.outgoing.carries());
        Ok(Box::pin(async move {
            let output = call(arguments, &events.0).await;
            let mut parcel = Parcel::new();
            (codec.encode)(output, &mut parcel.output(carries))?;
            Ok(Some(parcel))
        }))
    }

    fn respond<'a, Arguments, R>(
        self,
        codec: Codec<Arguments, R>,
        call: impl FnOnce(Responder<R>, Arguments, &Events<E>),
    ) -> Result<Running<'a>, Failure>
    where
        E: 'a,
    {
        let arguments = (codec.decode)(self.arguments)?;
        let events = self.events;
        let (responder, answered) = Responder::new(self.outgoing, &events.0, self.id, codec.encode);
        shield(FailureCode::Panic, || {
            call(responder, arguments, &events.0);
        })?;
        Ok(Box::pin(async move {
            let answered = answered.await;
            drop(events);
            answered
        }))
    }
}

impl<E> Serving<E> {
    /// Runs all calls at once.
    pub fn at_once<'a>(
        self,
        start: &'a (dyn Fn(AsyncRequest<'_, E>) -> Result<Running<'a>, Failure> + 'a),
    ) -> i32 {
        let Self {
            conversation,
            events,
            max_running,
            runtime,
        } = self;
        let outgoing = Arc::clone(&conversation.outgoing);
        let begin = |id: u32, arguments: Received<'_>| {
            start(AsyncRequest {
                id,
                arguments,
                events: Lent::new(&events, id),
                outgoing: &outgoing,
            })
        };
        concurrent::serve(conversation, max_running, runtime, &begin)
    }
}
