//! What a worker's function may look like, and how it is put to work.

use std::fmt::Display;
use std::marker::PhantomData;
use std::process::exit;

use offspring_serialisers::{Input, Output, Serialiser};

use super::blocking::{self, Work};
use super::events::{EncodeEvent, Events};
use super::panic::{install_hook, shield};
use super::session::{Conversation, FAILED, Session};
use crate::protocol::{Failure, FailureCode};
use crate::signature::{Entire, Signature, each_arity};

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
    note = "it takes the arguments of the signature; `&mut State` may stand before them if there is an `init`, `&Events<E>` behind them if there are events"
)]
pub trait Function<Form, State, Arguments, R, E> {
    /// Calls it.
    fn call(&self, state: &mut State, arguments: Arguments, events: &Events<E>) -> R;
}

mod forms {
    #[derive(Debug)]
    pub struct Plain;
    #[derive(Debug)]
    pub struct WithEvents;
    #[derive(Debug)]
    pub struct WithState;
    #[derive(Debug)]
    pub struct WithBoth;
}

macro_rules! functions {
    ($($name:ident),*) => {
        functions!(@ [($($name,)*)] [($($name,)*)] $($name),*);
    };
    // The type of the arguments, the pattern that takes them apart, their types.
    (@ $arguments:tt $pattern:tt $($name:ident),*) => {
        functions!(@@ [state events] forms::Plain; $arguments $pattern () ($($name),*) ());
        functions!(@@ [state events] forms::WithEvents; $arguments $pattern () ($($name),*) (events: Events<Ev>));
        functions!(@@ [state events] forms::WithState; $arguments $pattern (state: St) ($($name),*) ());
        functions!(@@ [state events] forms::WithBoth; $arguments $pattern (state: St) ($($name),*) (events: Events<Ev>));
    };
    (@@ [$st:ident $ev:ident] $form:ty; [$arguments:ty] [$pattern:pat] ($($state:ident: $State:ty)?) ($($name:ident),*) ($($events:ident: $Events:ty)?)) => {
        #[allow(non_snake_case, unused_variables, reason = "variables are named like types, and not all are used")]
        impl<Fun, St, R, Ev, $($name),*> Function<$form, St, $arguments, R, Ev> for Fun
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

/// A child that is about to serve: what a declaration hands its function to.
pub struct Child<F, S, E, I> {
    session: Session,
    worker: &'static str,
    events: EncodeEvent<E>,
    types: crate::Types<(F, S, I)>,
}

impl<F, S, E, I> std::fmt::Debug for Child<F, S, E, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Child")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

impl<F, S, E, I> Child<F, S, E, I>
where
    F: Signature,
    I: Signature,
    S: Serialiser<F::Arguments> + Serialiser<F::Output>,
{
    pub(crate) fn new(session: Session, worker: &'static str, events: EncodeEvent<E>) -> Self {
        Self {
            session,
            worker,
            events,
            types: PhantomData,
        }
    }

    /// Serves with a function that needs no state. Never returns: the process
    /// ends with the parent's last call.
    pub fn serve<Form>(self, function: impl Function<Form, (), F::Call, F::Output, E>) -> ! {
        install_hook();
        let conversation = self.session.greet(self.worker, S::NAME, blocking::NAME);
        let events = Events::new(&conversation.outgoing, self.events);
        run::<F, S, _, _, _>(conversation, &events, (), function)
    }

    /// Serves with a function and the state that `init` makes, once, from the
    /// arguments given at the start. An error or a panic of `init` is the error
    /// of all calls, and ends the process.
    pub fn serve_with<State, Failed: Display, InitForm, Form>(
        self,
        init: impl Function<InitForm, (), I::Call, Result<State, Failed>, E>,
        function: impl Function<Form, State, F::Call, F::Output, E>,
    ) -> !
    where
        S: Serialiser<I::Arguments>,
    {
        install_hook();
        let conversation = self.session.greet(self.worker, S::NAME, blocking::NAME);
        let events = Events::new(&conversation.outgoing, self.events);
        let made = shield(FailureCode::Panic, || {
            let decode =
                || <S as Serialiser<I::Arguments>>::decode(&mut Input::new(&conversation.init));
            let arguments = I::nothing()
                .map_or_else(decode, Ok)
                .map_err(|error| format!("its arguments could not be decoded: {error}"))?;
            init.call(&mut (), I::enter(arguments), &events)
                .map_err(|error| error.to_string())
        });
        let failure = match made {
            Ok(Ok(state)) => run::<F, S, _, _, _>(conversation, &events, state, function),
            Ok(Err(text)) => Failure::new(FailureCode::Refused, text),
            Err(panic) => panic,
        };
        // If the parent is gone there is nobody to tell.
        let _ = conversation.outgoing.unfit(&failure);
        exit(FAILED)
    }
}

fn run<F, S, State, Form, E>(
    conversation: Conversation,
    events: &Events<E>,
    mut state: State,
    function: impl Function<Form, State, F::Call, F::Output, E>,
) -> !
where
    F: Signature,
    S: Serialiser<F::Arguments> + Serialiser<F::Output>,
{
    let work: &mut Work<'_> = &mut |octets, frame| {
        let decode = || <S as Serialiser<F::Arguments>>::decode(&mut Input::new(octets));
        let arguments = shield(FailureCode::Decode, decode)?
            .map_err(|error| Failure::new(FailureCode::Decode, error.to_string()))?;
        let output = shield(FailureCode::Panic, || {
            function.call(&mut state, F::enter(arguments), events)
        })?;
        let encode = || <S as Serialiser<F::Output>>::encode(&output, &mut Output::new(frame));
        let encoded = shield(FailureCode::Encode, encode);
        // A value whose drop panics fails its own call, and no other.
        shield(FailureCode::Panic, || drop(output))?;
        encoded?.map_err(|error| Failure::new(FailureCode::Encode, error.to_string()))
    };
    let code = blocking::serve(conversation, work);
    drop(state);
    exit(code)
}
