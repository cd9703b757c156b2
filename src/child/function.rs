//! What a worker's function may look like, and how it is put to work.

use std::borrow::Cow;
use std::fmt::Display;
use std::marker::PhantomData;
use std::panic::catch_unwind;
use std::pin::Pin;
use std::sync::Arc;

use offspring_serialisers::{Format, Output, Serialiser};

use super::blocking::{self, Work};
use super::events::{EncodeEvent, Events};
use super::panic::{install_hook, shield};
use super::session::{Backend, Conversation, FAILED, Init as InitArguments, Session};
use crate::parcel::{Parcel, Received, read};
use crate::protocol::{Failure, FailureCode};
use crate::signature::{self, Entire, Service, Signature, each_arity};

/// A function that can be a worker's: it takes the arguments of the signature,
/// and may take the state that `init` made in front (`&mut S`), and
/// [`&Events<E>`](Events) behind.
///
/// | with | function |
/// |---|---|
/// | nothing | `fn(A, B) -> R` |
/// | events | `fn(A, B, &Events<E>) -> R` |
/// | state | `fn(&mut S, A, B) -> R` |
/// | both | `fn(&mut S, A, B, &Events<E>) -> R` |
///
/// With the feature `concurrent` it may also be an `async fn`, with `&S` for
/// `&mut S`, or a function that takes a `Responder<R>` before the arguments and
/// returns nothing. Such a worker's calls run many at once, in one thread.
///
/// The form decides which backend runs it. A function that is none of these needs
/// the feature `blocking` to be served; to be declared and called it needs none.
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
/// `Form` only tells these apart, and is always inferred.
#[diagnostic::on_unimplemented(
    message = "this function does not fit the worker's signature",
    label = "does not fit the signature in the declaration",
    note = "it takes the arguments of the signature; state may stand before them if there is an `init` (`&mut State`, or `&State` if the function is async), `&Events<E>` behind them if there are events",
    note = "an `async fn`, or a function that takes a `Responder`, needs the feature `concurrent` of `offspring`"
)]
pub trait Function<Form, State, Arguments, R, E>: Sized {
    /// How its calls run.
    #[doc(hidden)]
    const BACKEND: Backend;
    /// Serves until the parent is done, or gone. Gives the code to exit with.
    #[doc(hidden)]
    fn serve(self, serving: Serving<E>, state: State, codec: Codec<Arguments, R>) -> i32;
}

/// The methods of a service, as [`service!`](crate::service) implements them for
/// `dyn Trait` and each state that implements the trait.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{State}` does not implement the trait of the service",
    label = "does not make what implements the trait"
)]
pub trait Dispatch<State, E> {
    /// How its calls run.
    const BACKEND: Backend = blocking::BACKEND;
    /// Serves until the parent is done, or gone. Gives the code to exit with.
    fn serve(serving: Serving<E>, state: State) -> i32;
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
    fn serve(self, serving: Serving<E>, mut state: State, codec: Codec<Arguments, R>) -> i32 {
        serving.one_by_one(|request, events| {
            request.answer_by(codec, |arguments| self.call(&mut state, arguments, events))
        })
    }
}

/// How a function is served: its form, and the type of its state.
#[derive(Debug)]
pub struct Way<Form, State>(signature::Types<(Form, State)>);

/// Finds the [`Way`] of a function: of the blocking server, if that can call it. So the signature says what a closure
/// returns whose body leaves it open, as `iter.sum()` and `panic!()` do.
#[derive(Debug)]
pub struct Probe<F, E, Fun>(signature::Types<(F, E, Fun)>);

/// The compiler looks for this first.
pub trait ServedBlocking<Form, State> {
    #[doc(hidden)]
    fn way(&self) -> Way<(Blocks, Form), State> {
        Way(PhantomData)
    }
}

impl<F, E, Fun, Form, State> ServedBlocking<Form, State> for Probe<F, E, Fun>
where
    F: Signature,
    Fun: Blocking<Form, State, F::Call, F::Output, E>,
{
}

/// The compiler looks for this second.
pub trait ServedSomehow {
    #[doc(hidden)]
    fn way<Form, State>(&self) -> Way<Form, State> {
        Way(PhantomData)
    }
}

impl<F, E, Fun> ServedSomehow for &Probe<F, E, Fun> {}

/// A function that can make a worker's state: it takes the arguments of `init`,
/// and may take [`&Events<E>`](Events) behind them.
#[diagnostic::on_unimplemented(
    message = "this function does not fit the declaration's `init`",
    label = "does not fit `init` in the declaration",
    note = "it takes the arguments of `init`, and `&Events<E>` behind them if there are events; it is not async, and returns a `Result`"
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

/// In a form: the blocking server calls it.
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
functions!(@ [Entire<A1>] [Entire(A1)] A1);

/// How arguments come out of octets, and a result becomes octets, behind what is
/// there. Whatever panics meanwhile is a failure.
pub struct Codec<Arguments, R> {
    pub(super) decode: fn(Received<'_>) -> Result<Arguments, Failure>,
    pub(super) encode: Encode<R>,
}

impl<Arguments, R> Clone for Codec<Arguments, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Arguments, R> Copy for Codec<Arguments, R> {}

impl<Arguments, R> std::fmt::Debug for Codec<Arguments, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Codec")
    }
}

/// How a result becomes octets.
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
                let arguments = shield(FailureCode::Decode, decode)?
                    .map_err(|error| Failure::new(FailureCode::Decode, error.to_string()))?;
                Ok(F::enter(arguments))
            },
            encode: |output, to| {
                let encode = || <S as Serialiser<F::Output>>::encode(&output, to);
                let encoded = shield(FailureCode::Encode, encode);
                // A value whose drop panics fails its own call, and no other.
                shield(FailureCode::Panic, || drop(output))?;
                encoded?.map_err(|error| Failure::new(FailureCode::Encode, error.to_string()))
            },
        }
    }
}

/// All that a function needs to be served, beside its state.
pub struct Serving<E> {
    pub(super) conversation: Conversation,
    pub(super) events: Events<E>,
    /// How many calls may run at once.
    pub(super) max_running: usize,
    pub(super) runtime: Option<Runtime>,
}

/// What runs the server of a child to its end.
pub(super) type Runtime = fn(Pin<Box<dyn Future<Output = ()> + '_>>);

impl<E> std::fmt::Debug for Serving<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving").finish_non_exhaustive()
    }
}

impl<E> Serving<E> {
    /// Runs the calls one after the other.
    pub fn one_by_one(
        self,
        mut run: impl FnMut(Request<'_>, &Events<E>) -> Result<(), Failure>,
    ) -> i32 {
        let Self {
            conversation,
            mut events,
            ..
        } = self;
        let carries = conversation.outgoing.carries();
        let work: &mut Work<'_> = &mut |id, arguments, parcel| {
            events.enter(id);
            let request = Request {
                arguments,
                parcel,
                carries,
            };
            let done = run(request, &events);
            events.leave();
            done
        };
        blocking::serve(conversation, work)
    }
}

/// One call, and where its result is written.
#[derive(Debug)]
pub struct Request<'r> {
    arguments: Received<'r>,
    parcel: &'r mut Parcel,
    carries: bool,
}

impl<'r> Request<'r> {
    /// The name of the method that is called.
    pub fn method<S: Format>(&self) -> Result<Cow<'r, str>, Failure> {
        method::<S>(&self.arguments)
    }

    /// Runs it as a call of this signature.
    pub fn answer<F, S>(self, call: impl FnOnce(F::Call) -> F::Output) -> Result<(), Failure>
    where
        F: Signature,
        S: Serialiser<F::Arguments> + Serialiser<F::Output>,
    {
        self.answer_by(Codec::new::<F, S>(), call)
    }

    fn answer_by<Arguments, R>(
        self,
        codec: Codec<Arguments, R>,
        call: impl FnOnce(Arguments) -> R,
    ) -> Result<(), Failure> {
        let arguments = (codec.decode)(self.arguments)?;
        let output = shield(FailureCode::Panic, || call(arguments))?;
        (codec.encode)(output, &mut self.parcel.output(self.carries))
    }
}

/// The name of the method that these arguments begin with.
pub(super) fn method<'r, S: Format>(arguments: &Received<'r>) -> Result<Cow<'r, str>, Failure> {
    let method = shield(FailureCode::Decode, || S::method(arguments.bytes()))?;
    method.map_err(|error| Failure::new(FailureCode::Decode, error.to_string()))
}

/// The failure of a call of a method that the service has not.
pub fn no_method(name: &str, methods: &[&str]) -> Failure {
    let text = format!(
        "this service has no method `{name}`; it has: {}",
        methods.join(", ")
    );
    Failure::new(FailureCode::Refused, text)
}

/// How many calls run at once in a child if its declaration does not say.
const MAX_RUNNING: usize = 65_536;

/// A child that is about to serve: what a declaration hands its function to.
pub struct Child<F, S, E, I> {
    session: Session,
    worker: &'static str,
    events: EncodeEvent<E>,
    done: Option<fn()>,
    max_running: usize,
    pub(super) runtime: Option<Runtime>,
    types: crate::signature::Types<(F, S, I)>,
}

impl<F, S, E, I> std::fmt::Debug for Child<F, S, E, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Child")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

impl<F, S, E, I> Child<F, S, E, I> {
    pub(crate) fn new(session: Session, worker: &'static str, events: EncodeEvent<E>) -> Self {
        Self {
            session,
            worker,
            events,
            done: None,
            max_running: MAX_RUNNING,
            runtime: None,
            types: PhantomData,
        }
    }

    /// Runs this when the parent is done and all is answered; then the process
    /// exits.
    #[must_use]
    pub fn done(mut self, done: fn()) -> Self {
        self.done = Some(done);
        self
    }

    /// Runs at most so many calls at once, and at least one.
    #[must_use]
    pub fn max_running(mut self, calls: usize) -> Self {
        self.max_running = calls.max(1);
        self
    }

    /// What finds the way of its function.
    pub fn probe<Fun>(&self, _: &Fun) -> Probe<F, E, Fun> {
        Probe(PhantomData)
    }
}

impl<F, S, E, I> Child<F, S, E, I>
where
    F: Signature,
    I: Signature,
    S: Serialiser<F::Arguments> + Serialiser<F::Output>,
{
    /// Serves with a function that needs no state, until the parent's last call.
    /// Gives the code to exit with.
    pub fn serve<Form, Fun>(self, _: Way<Form, ()>, function: Fun) -> i32
    where
        Fun: Function<Form, (), F::Call, F::Output, E>,
    {
        let serve = |serving, ()| function.serve(serving, (), Codec::new::<F, S>());
        self.run(&Fun::BACKEND, false, |_, _| Ok(()), serve)
    }

    /// Serves with a function and the state that `init` makes, once, from the
    /// arguments given at the start. An error or a panic of `init` is the error
    /// of all calls, and ends the process.
    pub fn serve_with<State, Failed: Display, InitForm, Form, Fun>(
        self,
        init: impl Init<InitForm, I::Call, Result<State, Failed>, E>,
        _: Way<Form, State>,
        function: Fun,
    ) -> i32
    where
        S: Serialiser<I::Arguments>,
        Fun: Function<Form, State, F::Call, F::Output, E>,
    {
        let serve = |serving, state| function.serve(serving, state, Codec::new::<F, S>());
        self.run(&Fun::BACKEND, true, make::<S, I, _, _, _, E>(init), serve)
    }
}

impl<T: ?Sized, S: Format, E, I: Signature> Child<Service<T>, S, E, I> {
    /// Serves the methods of what this makes.
    pub fn serve<State>(self, _: Way<(), State>, make: impl FnOnce() -> State) -> i32
    where
        T: Dispatch<State, E>,
    {
        self.run(&T::BACKEND, true, |_, _| Ok(make()), T::serve)
    }

    /// Serves the methods of what `init` makes from the arguments given at the
    /// start.
    pub fn serve_with<State, Failed: Display, InitForm>(
        self,
        _: Way<InitForm, State>,
        init: impl Init<InitForm, I::Call, Result<State, Failed>, E>,
    ) -> i32
    where
        S: Serialiser<I::Arguments>,
        T: Dispatch<State, E>,
    {
        self.run(&T::BACKEND, true, make::<S, I, _, _, _, E>(init), T::serve)
    }
}

/// Makes the state from the arguments of `init`.
fn make<S: Serialiser<I::Arguments>, I: Signature, State, Failed: Display, Form, E>(
    init: impl Init<Form, I::Call, Result<State, Failed>, E>,
) -> impl FnOnce(InitArguments, &Events<E>) -> Result<State, String> {
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
        init: impl FnOnce(InitArguments, &Events<E>) -> Result<State, String>,
        serve: impl FnOnce(Serving<E>, State) -> i32,
    ) -> i32 {
        install_hook();
        let runs = self.runtime.is_some();
        if runs && backend.name == blocking::BACKEND.name {
            return self.session.refuse("a `runtime` is for an `async fn`, or a function that takes a `Responder`: any other runs without one, and may make its own in `init`");
        }
        let prepares = prepares || runs;
        let greeting = self.session.greet(self.worker, S::NAME, backend, prepares);
        let (conversation, arguments) = match greeting {
            Ok(greeting) => greeting,
            Err(code) => return code,
        };
        let link = Arc::clone(&conversation.outgoing);
        if !conversation.in_thread {
            // It stays until the process is gone, for the parent waits for that.
            std::mem::forget(Arc::clone(&link));
        }
        let takes_group = conversation.takes_group;
        let events = Events::new(&link, self.events);
        let failure = match shield(FailureCode::Panic, || init(arguments, &events)) {
            Ok(Ok(state)) => {
                let serving = Serving {
                    conversation,
                    events,
                    max_running: self.max_running,
                    runtime: self.runtime,
                };
                let code = serve(serving, state);
                if takes_group && link.has_hung_up() {
                    crate::sys::exit_group_now(code);
                }
                return leave(code, self.done);
            }
            Ok(Err(text)) => Failure::new(FailureCode::Refused, text),
            Err(panic) => panic,
        };
        // If the parent is gone there is nobody to tell.
        let _ = link.unfit(&failure);
        FAILED
    }
}

/// Does what the worker wants to be done before it exits. Gives the code to exit with.
fn leave(code: i32, done: Option<fn()>) -> i32 {
    if code == 0
        && let Some(done) = done
        && catch_unwind(done).is_err()
    {
        return FAILED;
    }
    code
}
