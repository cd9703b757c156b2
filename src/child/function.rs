//! The forms of a worker's function, and how each is served.

use std::borrow::Cow;
use std::fmt::Display;
use std::marker::PhantomData;
use std::panic::catch_unwind;
use std::pin::Pin;
use std::sync::Arc;

use offspring_serialisers::{Format, Output, Serialiser};

use super::blocking::{self, RunCall};
use super::events::{EncodeEvent, Events};
use super::exit_code::FAILED;
use super::handshake::{Backend, Conn, Handshake, InitArgs};
use super::panic::{catch_as_failure, install_hook};
use super::retire::set_own_writer;
use crate::message::{Incoming, Message, read};
use crate::protocol::{Failure, FailureCode};
use crate::signature::{self, Service, Signature, each_arity};

note_if_no_concurrent! {
    /// A worker's function: it takes the arguments of the signature, optionally preceded by the state that `init` returned
    /// (`&mut S`), and followed by [`&Events<E>`](Events).
    ///
    /// | with | function |
    /// |---|---|
    /// | nothing | `fn(A, B) -> R` |
    /// | events | `fn(A, B, &Events<E>) -> R` |
    /// | state | `fn(&mut S, A, B) -> R` |
    /// | both | `fn(&mut S, A, B, &Events<E>) -> R` |
    ///
    /// With the feature `concurrent` it can also be an `async fn`, with `&S` in place of `&mut S`, or a function that takes a
    /// `Responder<R>` before the arguments and returns `()`. Such a worker runs many calls concurrently, in one thread.
    ///
    /// The form selects the backend. Any other function needs the feature `blocking` to be served, but not to be declared and
    /// called.
    ///
    /// ```
    /// use offspring::{Events, worker};
    ///
    /// fn both(count: &mut u32, text: String, events: &Events<String>) -> String {
    ///     *count += 1;
    ///     let _ = events.send(format!("call {count}"));
    ///     text
    /// }
    /// worker!(BOTH: fn(String) -> String = both, init() = || Ok::<u32, String>(0), events = String);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// # let rpc = BOTH.on_event(|event| assert_eq!(event, "call 1")).spawn()?;
    /// # assert_eq!(rpc.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    ///
    /// `Form` only distinguishes these, and is always inferred.
    #[diagnostic::on_unimplemented(
        message = "this function does not fit the worker's signature",
        label = "does not fit the signature in the declaration",
        note = "it takes the arguments of the signature, `{Arguments}`, and returns its result, `{R}`",
        note = "state may stand before the arguments if there is an `init` (`&mut State`, or `&State` if the function is async), `&Events<E>` behind them if there is `events = E`"
    )]
    pub trait Function<Form, State, Arguments, R, E>: Sized {
        /// The backend that serves it.
        #[doc(hidden)]
        const BACKEND: Backend;
        /// Serves until the parent ends its output or exits. Returns the exit code.
        #[doc(hidden)]
        fn serve(self, serving: ServeContext<E>, state: State, codec: Codec<Arguments, R>) -> i32;
    }
}

/// The methods of a service. [`service!`](crate::service) implements it for `dyn Trait` and each state that implements the
/// trait.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{State}` does not implement the trait of the service",
    label = "does not make what implements the trait"
)]
pub trait Dispatch<State, E> {
    /// The backend that serves it.
    const BACKEND: Backend = blocking::BACKEND;
    /// Serves until the parent ends its output or exits. Returns the exit code.
    fn serve(serving: ServeContext<E>, state: State) -> i32;
}

/// A function that the blocking server calls.
pub trait Blocking<Form, State, Arguments, R, E> {
    #[doc(hidden)]
    fn call(&self, state: &mut State, arguments: Arguments, events: &Events<E>) -> R;
}

#[diagnostic::do_not_recommend]
impl<Fun, Form, State, Arguments, R, E> Function<(Blocks, Form), State, Arguments, R, E> for Fun
where
    Fun: Blocking<Form, State, Arguments, R, E>,
{
    const BACKEND: Backend = blocking::BACKEND;
    fn serve(self, serving: ServeContext<E>, mut state: State, codec: Codec<Arguments, R>) -> i32 {
        serving.serve_sequentially(|request, events| {
            request.answer_with(codec, |arguments| self.call(&mut state, arguments, events))
        })
    }
}

/// How a function is served: its form, and the types of its state and its events.
#[derive(Debug)]
pub struct ServedBy<Form, State, Sent>(signature::Types<(Form, State, Sent)>);

impl<Form, State, Sent> ServedBy<Form, State, Sent> {
    /// Returns a child that is served so.
    #[must_use]
    pub fn of<C>(self, child: C) -> ServedChild<C, Form, State, Sent> {
        ServedChild(child, self.0)
    }
}

/// A child, and how its function is served. Its type has the function's types before a bound on these is checked.
#[derive(Debug)]
pub struct ServedChild<C, Form, State, Sent>(C, signature::Types<(Form, State, Sent)>);

/// Finds the [`ServedBy`] of a function, and prefers the blocking server. So a closure with an inferred return type, such
/// as `iter.sum()` or `panic!()`, gets that of the signature.
#[derive(Debug)]
pub struct Probe<F, Fun>(signature::Types<(F, Fun)>);

/// Method resolution, which begins at `&&Probe`, tries this trait first: it takes the reference as it is.
pub trait ServedBlocking<Form, State, Sent> {
    #[doc(hidden)]
    fn way(&self) -> ServedBy<(Blocks, Form), State, Sent> {
        ServedBy(PhantomData)
    }
}

impl<F, Fun, Form, State, Sent> ServedBlocking<Form, State, Sent> for &Probe<F, Fun>
where
    F: Signature,
    Fun: Blocking<Form, State, F::Call, F::Output, Sent>,
{
}

/// Method resolution tries this trait second: it takes another reference.
pub trait ServedConcurrently<Form, State, Sent> {
    #[doc(hidden)]
    fn way(&self) -> ServedBy<Form, State, Sent> {
        ServedBy(PhantomData)
    }
}

impl<F, Fun, Form, State, Sent> ServedConcurrently<Form, State, Sent> for &&Probe<F, Fun>
where
    F: Signature,
    Fun: Function<Form, State, F::Call, F::Output, Sent>,
{
}

/// Method resolution tries this trait last, for a function that does not fit: it takes a reference less.
pub trait ServedSomehow {
    #[doc(hidden)]
    fn way<Form, State, Sent>(&self) -> ServedBy<Form, State, Sent> {
        ServedBy(PhantomData)
    }
}

impl<F, Fun> ServedSomehow for Probe<F, Fun> {}

/// The `init` of a declaration without one.
#[derive(Debug)]
pub struct NoInit;

/// Makes the state of a function. [`NoInit`] makes only that of a function without state.
#[diagnostic::on_unimplemented(
    message = "this function takes a state of the type `{State}`, and the worker has no `init` that makes it",
    label = "has no `init`",
    note = "add `init(A, B) = function`, with a function that takes these arguments and returns `Result<{State}, impl Display>`"
)]
pub trait Makes<State> {
    /// The state.
    const STATE: State;
}

impl Makes<()> for NoInit {
    const STATE: () = ();
}

/// The type of a worker's events, which is also that of its function's. [`NoEvents`](crate::NoEvents) if none are declared.
#[diagnostic::on_unimplemented(
    message = "this function takes `&Events<{Sent}>`, and the events of the worker are `{Self}`",
    label = "does not declare these events",
    note = "declare their type: `events = {Sent}`"
)]
pub trait Declares<Sent>: Sized {
    /// Returns its argument.
    fn same(serving: ServeContext<Self>) -> ServeContext<Sent>;
}

impl<E> Declares<E> for E {
    fn same(serving: ServeContext<E>) -> ServeContext<E> {
        serving
    }
}

/// A worker's `init`: a function that takes its arguments, optionally followed by [`&Events<E>`](Events), and returns the
/// state, or an error that fails the start.
///
/// ```
/// use offspring::worker;
///
/// fn read(path: String) -> std::io::Result<String> {
///     std::fs::read_to_string(path)
/// }
///
/// worker!(
///     CONTAINS: fn(String) -> bool = |content: &mut String, word: String| content.contains(&word),
///     init(String) = read
/// );
///
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let rpc = CONTAINS.init("Cargo.toml").spawn()?;
/// assert!(rpc.call("[package]").wait()?);
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "this function does not fit the declaration's `init`",
    label = "does not fit `init` in the declaration",
    note = "it takes the arguments of `init`, `{Arguments}`, and `&Events<E>` behind them if there is `events = E`; it is not async, and returns the state in a `Result`: `{R}`"
)]
pub trait Init<Form, Arguments, R, E> {
    /// Calls it.
    #[doc(hidden)]
    fn call(&self, arguments: Arguments, events: &Events<E>) -> R;
}

pub(super) mod forms {
    #[derive(Debug)]
    pub struct Plain;
    #[derive(Debug)]
    pub struct WithEvents;
    #[derive(Debug)]
    pub struct WithState;
    #[derive(Debug)]
    pub struct WithBoth;
}

/// The part of a form for the blocking server.
#[derive(Debug)]
pub struct Blocks;

macro_rules! functions {
    ($($name:ident),*) => {
        functions!(@ [($($name,)*)] [($($name,)*)] $($name),*);
    };
    // The type of the arguments, the pattern that takes them apart, their types.
    (@ $arguments:tt $pattern:tt $($name:ident),*) => {
        functions!(@init [events] forms::Plain; $arguments $pattern ($($name),*) ());
        functions!(@init [events] forms::WithEvents; $arguments $pattern ($($name),*) (events: Events<Ev>));
        functions!(@@ [state events] forms::Plain; $arguments $pattern () ($($name),*) ());
        functions!(@@ [state events] forms::WithEvents; $arguments $pattern () ($($name),*) (events: Events<Ev>));
        functions!(@@ [state events] forms::WithState; $arguments $pattern (state: St) ($($name),*) ());
        functions!(@@ [state events] forms::WithBoth; $arguments $pattern (state: St) ($($name),*) (events: Events<Ev>));
    };
    (@init [$ev:ident] $form:ty; [$arguments:ty] [$pattern:pat] ($($name:ident),*) ($($events:ident: $Events:ty)?)) => {
        #[allow(non_snake_case, unused_variables, reason = "variables are named like types, and not all are used")]
        impl<Fun, R, Ev, $($name),*> Init<$form, $arguments, R, Ev> for Fun
        where
            Fun: Fn($($name,)* $(&$Events)?) -> R,
        {
            fn call(&self, $pattern: $arguments, $ev: &Events<Ev>) -> R {
                self($($name,)* $($events)?)
            }
        }
    };
    (@@ [$st:ident $ev:ident] $form:ty; [$arguments:ty] [$pattern:pat] ($($state:ident: $State:ty)?) ($($name:ident),*) ($($events:ident: $Events:ty)?)) => {
        #[allow(non_snake_case, unused_variables, reason = "variables are named like types, and not all are used")]
        impl<Fun, St, R, Ev, $($name),*> Blocking<$form, St, $arguments, R, Ev> for Fun
        where
            Fun: Fn($(&mut $State,)? $($name,)* $(&$Events)?) -> R,
        {
            fn call(&self, $st: &mut St, $pattern: $arguments, $ev: &Events<Ev>) -> R {
                self($($state,)? $($name,)* $($events)?)
            }
        }
    };
}
each_arity!(functions);

/// Decodes arguments, and encodes a result. A panic of either is a failure of the call.
#[derive(Debug)]
pub struct Codec<Arguments, R> {
    pub(super) decode: fn(Incoming<'_>) -> Result<Arguments, Failure>,
    pub(super) encode: Encode<R>,
}

impl<Arguments, R> Clone for Codec<Arguments, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Arguments, R> Copy for Codec<Arguments, R> {}

/// Encodes a result.
pub(super) type Encode<R> = fn(R, &mut Output<'_>) -> Result<(), Failure>;

impl<Arguments, R> Codec<Arguments, R> {
    pub(super) fn new<F, S>() -> Self
    where
        F: Signature<Call = Arguments, Output = R>,
        S: Serialiser<F::Arguments> + Serialiser<F::Output>,
    {
        Self {
            decode: |received| {
                let decode = || read(received, <S as Serialiser<F::Arguments>>::decode);
                let arguments = catch_as_failure(FailureCode::Decode, decode)?
                    .map_err(|error| Failure::new(FailureCode::Decode, error.to_string()))?;
                Ok(F::enter(arguments))
            },
            encode: |output, to| {
                let encode = || <S as Serialiser<F::Output>>::encode(&output, to);
                let encoded = catch_as_failure(FailureCode::Encode, encode);
                // A value whose drop panics fails its call only.
                catch_as_failure(FailureCode::Panic, || drop(output))?;
                encoded?.map_err(|error| Failure::new(FailureCode::Encode, error.to_string()))
            },
        }
    }
}

/// The arguments of a server, except the state.
#[derive(Debug)]
pub struct ServeContext<E> {
    pub(super) conn: Conn,
    pub(super) events: Events<E>,
    /// The most calls that run at once.
    pub(super) max_running: usize,
    pub(super) runtime: Option<Runtime>,
}

/// A function that runs the server of a child to its end.
pub(super) type Runtime = fn(Pin<Box<dyn Future<Output = ()> + '_>>);

impl<E> ServeContext<E> {
    /// Runs calls one after the other. Returns the exit code.
    pub fn serve_sequentially(
        self,
        mut run: impl FnMut(CallRequest<'_>, &Events<E>) -> Result<(), Failure>,
    ) -> i32 {
        let (conn, mut events) = (self.conn, self.events);
        let carries = conn.reply_writer.carries();
        let work: &mut RunCall<'_> = &mut |id, arguments, message| {
            events.begin_call(id);
            let request = CallRequest {
                arguments,
                message,
                carries,
            };
            let done = run(request, &events);
            events.end_call();
            done
        };
        blocking::serve(conn, work)
    }
}

/// A call of a blocking worker, and the message for its result.
#[derive(Debug)]
pub struct CallRequest<'r> {
    arguments: Incoming<'r>,
    message: &'r mut Message,
    carries: bool,
}

impl<'r> CallRequest<'r> {
    /// Returns the name of the called method.
    pub fn method<S: Format>(&self) -> Result<Cow<'r, str>, Failure> {
        method::<S>(&self.arguments)
    }

    /// Decodes the arguments as this signature's, runs `call`, and encodes the result.
    pub fn answer<F, S>(self, call: impl FnOnce(F::Call) -> F::Output) -> Result<(), Failure>
    where
        F: Signature,
        S: Serialiser<F::Arguments> + Serialiser<F::Output>,
    {
        self.answer_with(Codec::new::<F, S>(), call)
    }

    fn answer_with<Arguments, R>(
        self,
        codec: Codec<Arguments, R>,
        call: impl FnOnce(Arguments) -> R,
    ) -> Result<(), Failure> {
        let arguments = (codec.decode)(self.arguments)?;
        let output = catch_as_failure(FailureCode::Panic, || call(arguments))?;
        (codec.encode)(output, &mut self.message.output(self.carries))
    }
}

/// Returns the name of the method, which the arguments begin with.
pub(super) fn method<'r, S: Format>(arguments: &Incoming<'r>) -> Result<Cow<'r, str>, Failure> {
    let method = catch_as_failure(FailureCode::Decode, || S::method(arguments.bytes()))?;
    method.map_err(|error| Failure::new(FailureCode::Decode, error.to_string()))
}

/// Returns the failure of a call of an unknown method.
pub fn no_method(name: &str, methods: &[&str]) -> Failure {
    let text = format!(
        "this service has no method `{name}`; it has: {}",
        methods.join(", ")
    );
    Failure::new(FailureCode::NoMethod, text)
}

/// The most calls that run at once in a child. Default, if the declaration has no `max_running`.
const MAX_RUNNING: usize = 65_536;

/// A child that is about to serve. A declaration passes its function to it.
#[derive(Debug)]
pub struct Child<F, S, E, I> {
    handshake: Handshake,
    worker: &'static str,
    events: EncodeEvent<E>,
    done: Option<fn()>,
    max_running: usize,
    pub(super) runtime: Option<Runtime>,
    types: crate::signature::Types<(F, S, I)>,
}

impl<F, S, E, I> Child<F, S, E, I> {
    pub(crate) fn new(handshake: Handshake, worker: &'static str, events: EncodeEvent<E>) -> Self {
        Self {
            handshake,
            worker,
            events,
            done: None,
            max_running: MAX_RUNNING,
            runtime: None,
            types: PhantomData,
        }
    }

    /// Sets the function that runs after the last call, before the process exits.
    #[must_use]
    pub fn done(mut self, done: fn()) -> Self {
        self.done = Some(done);
        self
    }

    /// Sets the most calls that run at once, at least one.
    #[must_use]
    pub fn max_running(mut self, calls: usize) -> Self {
        self.max_running = calls.max(1);
        self
    }

    /// Returns the probe for the form of a function.
    pub fn probe<Fun>(&self, _: &Fun) -> Probe<F, Fun> {
        Probe(PhantomData)
    }
}

impl<F, S, E, I, Form, State, Sent> ServedChild<Child<F, S, E, I>, Form, State, Sent>
where
    F: Signature,
    I: Signature,
    S: Serialiser<F::Arguments> + Serialiser<F::Output>,
{
    /// Serves with a function without state. Returns the exit code.
    pub fn serve<Fun>(self, function: Fun) -> i32
    where
        NoInit: Makes<State>,
        E: Declares<Sent>,
        Fun: Function<Form, State, F::Call, F::Output, Sent>,
    {
        let serve = |serving, state| function.serve(E::same(serving), state, Codec::new::<F, S>());
        (self.0).run(&Fun::BACKEND, false, |_, _| Ok(NoInit::STATE), serve)
    }

    /// Serves with a function and the state that `init` returns for the arguments from the parent. An error or panic of
    /// `init` is the error of all calls, and ends the process.
    pub fn serve_with<Failed: Display, InitForm, Fun>(
        self,
        init: impl Init<InitForm, I::Call, Result<State, Failed>, E>,
        function: Fun,
    ) -> i32
    where
        S: Serialiser<I::Arguments>,
        E: Declares<Sent>,
        Fun: Function<Form, State, F::Call, F::Output, Sent>,
    {
        let serve = |serving, state| function.serve(E::same(serving), state, Codec::new::<F, S>());
        (self.0).run(&Fun::BACKEND, true, make::<S, I, _, _, _, E>(init), serve)
    }
}

impl<T, S, E, I, State> ServedChild<Child<Service<T>, S, E, I>, (), State, ()>
where
    T: ?Sized + Dispatch<State, E>,
    S: Format,
{
    /// Serves the methods of the state that `make` returns. Returns the exit code.
    pub fn serve(self, make: impl FnOnce() -> State) -> i32 {
        (self.0).run(&T::BACKEND, true, |_, _| Ok(make()), T::serve)
    }
}

impl<T, S, E, I, InitForm, State> ServedChild<Child<Service<T>, S, E, I>, InitForm, State, ()>
where
    T: ?Sized + Dispatch<State, E>,
    I: Signature,
    S: Serialiser<I::Arguments>,
{
    /// Serves the methods of the state that `init` returns for the arguments from the parent. Returns the exit code.
    pub fn serve_with<Failed: Display>(
        self,
        init: impl Init<InitForm, I::Call, Result<State, Failed>, E>,
    ) -> i32 {
        (self.0).run(&T::BACKEND, true, make::<S, I, _, _, _, E>(init), T::serve)
    }
}

/// Decodes the arguments of `init`, and calls it.
fn make<S: Serialiser<I::Arguments>, I: Signature, State, Failed: Display, Form, E>(
    init: impl Init<Form, I::Call, Result<State, Failed>, E>,
) -> impl FnOnce(InitArgs, &Events<E>) -> Result<State, String> {
    move |(bytes, descriptors), events| {
        let arguments = signature::arguments::<I, S>(&bytes, descriptors)?;
        let made = init.call(arguments, events);
        made.map_err(|error| error.to_string())
    }
}

impl<F, S: Format, E, I> Child<F, S, E, I> {
    fn run<State>(
        self,
        backend: &Backend,
        prepares: bool,
        init: impl FnOnce(InitArgs, &Events<E>) -> Result<State, String>,
        serve: impl FnOnce(ServeContext<E>, State) -> i32,
    ) -> i32 {
        install_hook();
        let runs = self.runtime.is_some();
        if runs && backend.name == blocking::BACKEND.name {
            return self.handshake.refuse("a `runtime` is for an `async fn`, or a function that takes a `Responder`: any other runs without one, and may make its own in `init`");
        }
        let prepares = prepares || runs;
        let handshake = self.handshake;
        let greeting = handshake.answer_hello(self.worker, S::NAME, backend, prepares);
        let (conn, arguments) = match greeting {
            Ok(greeting) => greeting,
            Err(code) => return code,
        };
        let writer = Arc::clone(&conn.reply_writer);
        if !conn.in_thread {
            set_own_writer(&writer);
        }
        let events = Events::new(&writer, self.events);
        let failure = match catch_as_failure(FailureCode::Panic, || init(arguments, &events)) {
            Ok(Ok(state)) => {
                let serving = ServeContext {
                    conn,
                    events,
                    max_running: self.max_running,
                    runtime: self.runtime,
                };
                return serve_to_end(serving, |serving| serve(serving, state), self.done);
            }
            Ok(Err(text)) => Failure::new(FailureCode::Refused, text),
            Err(panic) => panic,
        };
        // It fails if the parent has exited.
        let _ = writer.init_failed(&failure);
        FAILED
    }
}

/// Serves, and then ends the process group if the parent is gone and has asked for that. Returns the exit code.
fn serve_to_end<E>(
    serving: ServeContext<E>,
    serve: impl FnOnce(ServeContext<E>) -> i32,
    done: Option<fn()>,
) -> i32 {
    let (link, kills_group) = (Arc::clone(&serving.conn.link), serving.conn.kills_group);
    let code = serve(serving);
    if kills_group && link.has_hung_up().unwrap_or(false) {
        crate::sys::exit_with_group(code);
    }
    run_done_hook(code, done)
}

/// Runs the declaration's `done` after a clean end. Returns the exit code.
fn run_done_hook(code: i32, done: Option<fn()>) -> i32 {
    if code == 0
        && let Some(done) = done
        && catch_unwind(done).is_err()
    {
        return FAILED;
    }
    code
}
