//! The functions of a concurrent worker: async functions, and functions that answer through a [`Responder`].

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;

use offspring_serialisers::{Format, Serialiser};

use super::concurrent::{self, BACKEND};
use super::events::Events;
use super::executor::CallFuture;
use super::function::{Child, Codec, Function, ServeContext, forms, method};
use super::handshake::Backend;
use super::panic::catch_as_failure;
use super::reply_writer::ReplyWriter;
use super::responder::Responder;
use crate::message::{Incoming, Message};
use crate::protocol::{Failure, FailureCode};
use crate::signature::{Signature, each_arity};

/// How a function returns its result; the other half of a form says what it takes.
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
            fn serve(self, serving: ServeContext<Ev>, $st: St, codec: Codec<$arguments, R>) -> i32 {
                let (function, $st) = (&self, &$st);
                serving.serve_concurrently(&|request| {
                    request.begin_with(codec, async move |$pattern: $arguments, $ev: &Events<Ev>| {
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
            fn serve(self, serving: ServeContext<Ev>, $st: St, codec: Codec<$arguments, R>) -> i32 {
                serving.serve_concurrently(&|request| {
                    request.respond(codec, |responder, $pattern, $ev| {
                        self($(&$state,)? responder, $($name,)* $($events)?);
                    })
                })
            }
        }
    };
}
each_arity!(functions);

/// A child's server, for a runtime that is to run it: see [`worker!`](crate::worker).
///
/// The future is ready when the parent has ended its output or exited.
///
/// ```
/// use offspring::{Server, worker};
///
/// fn on_tokio(server: Server<'_>) {
///     let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
///     tokio.expect("a runtime").block_on(server)
/// }
///
/// async fn upper(text: String) -> String {
///     tokio::task::yield_now().await;
///     text.to_uppercase()
/// }
/// worker!(UPPER: fn(String) -> String = upper, runtime = on_tokio);
///
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// assert_eq!(UPPER.spawn()?.call("so").wait()?, "SO");
/// # Ok(()) }
/// ```
pub type Server<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

impl<F, S, E, I> Child<F, S, E, I> {
    /// Sets the function that runs the server to its end.
    #[must_use]
    pub fn runtime(mut self, run: fn(Server<'_>)) -> Self {
        self.runtime = Some(run);
        self
    }
}

/// The events of a call, which end when this is dropped.
#[derive(Debug)]
struct EventScope<E>(Events<E>);

impl<E> EventScope<E> {
    fn new(events: &Events<E>, id: u32) -> Self {
        let mut own = events.clone();
        own.begin_call(id);
        Self(own)
    }
}

impl<E> Drop for EventScope<E> {
    fn drop(&mut self) {
        self.0.end_call();
    }
}

/// A call of a concurrent worker.
#[derive(Debug)]
pub struct AsyncCallRequest<'r, E> {
    id: u32,
    arguments: Incoming<'r>,
    events: EventScope<E>,
    reply_writer: &'r Arc<ReplyWriter>,
}

impl<'r, E> AsyncCallRequest<'r, E> {
    /// Returns the name of the called method.
    pub fn method<S: Format>(&self) -> Result<Cow<'r, str>, Failure> {
        method::<S>(&self.arguments)
    }

    /// Decodes the arguments as this signature's, and returns the call's future.
    pub fn begin<'a, F, S>(
        self,
        call: impl AsyncFnOnce(F::Call, &Events<E>) -> F::Output + 'a,
    ) -> Result<CallFuture<'a>, Failure>
    where
        F: Signature,
        S: Serialiser<F::Arguments> + Serialiser<F::Output>,
        F::Call: 'a,
        E: 'a,
    {
        self.begin_with(Codec::new::<F, S>(), call)
    }

    fn begin_with<'a, Arguments: 'a, R: 'a>(
        self,
        codec: Codec<Arguments, R>,
        call: impl AsyncFnOnce(Arguments, &Events<E>) -> R + 'a,
    ) -> Result<CallFuture<'a>, Failure>
    where
        E: 'a,
    {
        let arguments = (codec.decode)(self.arguments)?;
        let (events, carries) = (self.events, self.reply_writer.carries());
        Ok(Box::pin(async move {
            let output = call(arguments, &events.0).await;
            let mut message = Message::new();
            (codec.encode)(output, &mut message.output(carries))?;
            Ok(Some(message))
        }))
    }

    fn respond<'a, Arguments, R>(
        self,
        codec: Codec<Arguments, R>,
        call: impl FnOnce(Responder<R>, Arguments, &Events<E>),
    ) -> Result<CallFuture<'a>, Failure>
    where
        E: 'a,
    {
        let arguments = (codec.decode)(self.arguments)?;
        let events = self.events;
        let (responder, answered) =
            Responder::new(self.reply_writer, &events.0, self.id, codec.encode);
        catch_as_failure(FailureCode::Panic, || {
            call(responder, arguments, &events.0);
        })?;
        Ok(Box::pin(async move {
            let answered = answered.await;
            drop(events);
            answered
        }))
    }
}

impl<E> ServeContext<E> {
    /// Runs calls concurrently. Returns the exit code.
    pub fn serve_concurrently<'a>(
        self,
        start: &'a (dyn Fn(AsyncCallRequest<'_, E>) -> Result<CallFuture<'a>, Failure> + 'a),
    ) -> i32 {
        let Self {
            conn,
            events,
            max_running,
            runtime,
        } = self;
        let reply_writer = Arc::clone(&conn.reply_writer);
        let start_call = |id: u32, arguments: Incoming<'_>| {
            start(AsyncCallRequest {
                id,
                arguments,
                events: EventScope::new(&events, id),
                reply_writer: &reply_writer,
            })
        };
        concurrent::serve(conn, max_running, runtime, &start_call)
    }
}
