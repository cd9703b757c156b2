//! The types of a worker's function: arguments, result and events.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;

use offspring_serialisers::{Error as SerialiserError, Format, Input, Output, SendAs, Serialiser};

/// Calls a macro with the type parameters of each number of arguments.
macro_rules! each_arity {
    ($macro:ident) => {
        $macro!();
        $macro!(A1);
        $macro!(A1, A2);
        $macro!(A1, A2, A3);
        $macro!(A1, A2, A3, A4);
        $macro!(A1, A2, A3, A4, A5);
        $macro!(A1, A2, A3, A4, A5, A6);
        $macro!(A1, A2, A3, A4, A5, A6, A7);
        $macro!(A1, A2, A3, A4, A5, A6, A7, A8);
    };
}
pub(crate) use each_arity;

/// The event type of a worker without events. It has no values.
///
/// ```
/// # use offspring::{NoEvents, Octets, Worker};
/// // It is the default of the parameter.
/// fn name(worker: &'static Worker<fn(String) -> String>) -> String {
///     let worker: &Worker<fn(String) -> String, Octets, NoEvents> = worker;
///     format!("{worker:?}")
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoEvents {}

impl From<NoEvents> for Infallible {
    fn from(event: NoEvents) -> Self {
        match event {}
    }
}

/// Decodes the arguments of `init` or of a preload, which were sent at the start.
pub(crate) fn arguments<I: Signature, S: Serialiser<I::Arguments>>(
    bytes: &[u8],
    descriptors: Vec<OwnedFd>,
) -> Result<I::Call, String> {
    let decode = || S::decode(&mut Input::with_descriptors(bytes, descriptors));
    let arguments = I::nothing().map_or_else(decode, Ok);
    arguments
        .map(I::enter)
        .map_err(|error| format!("its arguments could not be decoded: {error}"))
}

/// The signature of a worker: `fn(A, B) -> R` with up to eight arguments, or
/// [`RawArgs<fn(A) -> R>`](RawArgs). It is a type only; no such function exists.
///
/// ```
/// fn arguments<F: offspring::Signature<Arguments = (String, u32)>>() {}
///
/// arguments::<fn(String, u32) -> bool>();
/// ```
pub trait Signature: sealed::Sealed + 'static {
    /// The encoded value: a tuple with an element for each argument, or the array of arguments.
    type Arguments: 'static;
    /// The result.
    type Output: 'static;
    /// The arguments as the function takes them.
    #[doc(hidden)]
    type Call;
    #[doc(hidden)]
    fn enter(arguments: Self::Arguments) -> Self::Call;
    /// Returns the value of a signature without arguments, which is not decoded. `None` for all others.
    #[doc(hidden)]
    fn nothing() -> Option<Self::Arguments>;
}

/// A signature whose arguments can be passed as an `X`, in the format `S`: for the items of [`Rpc::map`](crate::Rpc::map).
///
/// With one argument `X` is the argument of `call`, for example a `String` or `&str` for a `String`. With several arguments, or
/// none, it is a tuple of these. With [`RawArgs`] it is the array of arguments.
///
/// ```
/// use offspring::{Octets, Takes};
///
/// fn items<F: Takes<X, Octets>, X>(_: &[X]) {}
///
/// items::<fn(String) -> String, _>(&["a", "b"]);
/// items::<fn(String, String) -> String, _>(&[("a", "b".to_owned())]);
/// ```
pub trait Takes<X, S>: Signature {
    #[doc(hidden)]
    fn encode(item: X, output: &mut Output<'_>) -> Result<(), SerialiserError>;
}

impl<A: 'static, R: 'static, X, S> Takes<X, S> for RawArgs<fn(A) -> R>
where
    X: SendAs<A>,
    S: Serialiser<A, X::Form>,
{
    fn encode(item: X, output: &mut Output<'_>) -> Result<(), SerialiserError> {
        S::encode(&item.into_form(), output)
    }
}

impl<A: 'static, R: 'static, X, S> Takes<X, S> for fn(A) -> R
where
    X: SendAs<A>,
    S: Serialiser<(A,), (X::Form,)>,
{
    fn encode(item: X, output: &mut Output<'_>) -> Result<(), SerialiserError> {
        S::encode(&(item.into_form(),), output)
    }
}

macro_rules! takes {
    ($($name:ident $form:ident $argument:ident),*) => {
        impl<R: 'static, S, $($name: 'static, $form),*> Takes<($($form,)*), S> for fn($($name),*) -> R
        where
            $($form: SendAs<$name>,)*
            S: Serialiser<($($name,)*), ($($form::Form,)*)>,
        {
            fn encode(($($argument,)*): ($($form,)*), output: &mut Output<'_>) -> Result<(), SerialiserError> {
                S::encode(&($($argument.into_form(),)*), output)
            }
        }
    };
}
takes!();
takes!(A1 X1 a, A2 X2 b);
takes!(A1 X1 a, A2 X2 b, A3 X3 c);
takes!(A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d);
takes!(A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e);
takes!(A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e, A6 X6 f);
takes!(A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e, A6 X6 f, A7 X7 g);
takes!(A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e, A6 X6 f, A7 X7 g, A8 X8 h);

/// The signature of a worker that takes any number of arguments, as an array, like the functions of `AnyEvent::Fork::RPC`. In a
/// declaration it is written `fn(..Vec<String>) -> R`.
///
/// ```
/// use offspring::{RawArgs, Worker, worker};
///
/// worker!(COUNT: fn(..Vec<String>) -> String = |words: Vec<String>| words.len().to_string());
///
/// static SAME: &Worker<RawArgs<fn(Vec<String>) -> String>> = &COUNT;
/// ```
#[doc(alias = "variadic")]
pub struct RawArgs<F>(PhantomData<F>);

impl<F> std::fmt::Debug for RawArgs<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawArgs")
    }
}

/// The signature of a worker that is a service `dyn Trait`. [`service!`](crate::service) declares the trait.
///
/// ```
/// use offspring::{Rpc, Service, service};
///
/// service! {
///     /// Counts.
///     pub trait Counter => CounterClient {
///         /// Counts a word.
///         fn add(&mut self, word: String) -> String;
///     }
/// }
///
/// fn use_it(counter: &Rpc<Service<dyn Counter>, offspring::Octets>) -> Result<String, offspring::Error> {
///     counter.add("a").wait()
/// }
/// ```
pub struct Service<T: ?Sized>(PhantomData<fn(&T)>);

impl<T: ?Sized> std::fmt::Debug for Service<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Service")
    }
}

/// A type of a service: its method, its argument (or another part of the method), and whether the format carries it.
pub type Part = (&'static str, &'static str, bool);

/// The types that [`service!`](crate::service) declares for `dyn Trait` in addition to the methods.
///
/// ```
/// use offspring::{ServiceTypes, service};
/// use offspring::format::Format;
///
/// service! {
///     /// Counts.
///     pub trait Counter => CounterClient {
///         /// One more.
///         fn next(&mut self) -> String;
///     }
/// }
///
/// assert_eq!(<<dyn Counter as ServiceTypes>::Serialiser as Format>::NAME, "octets");
/// ```
pub trait ServiceTypes {
    /// The serialiser of arguments, results and events.
    type Serialiser: Format;
    /// The type of the events.
    type Events;
    #[doc(hidden)]
    const EVENTS: EventCodec<Self::Events, Self::Serialiser>;
    /// The first type that the declared serialiser does not carry.
    #[doc(hidden)]
    const UNFIT: Option<Part> = None;
}

/// The encoder and decoder of a worker's events.
#[doc(hidden)]
#[derive(Debug)]
pub struct EventCodec<E, S> {
    pub(crate) encode: fn(&E, &mut Output<'_>) -> Result<(), SerialiserError>,
    pub(crate) decode: fn(&mut Input<'_>) -> Result<E, SerialiserError>,
    serialiser: Types<S>,
}

impl<S> EventCodec<NoEvents, S> {
    /// Returns the codec of a worker without events.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            encode: |event, _| match *event {},
            decode: |_| Err(SerialiserError::new("this worker has no events")),
            serialiser: PhantomData,
        }
    }
}

impl<E, S: Serialiser<E>> EventCodec<E, S> {
    /// Returns the codec that uses the worker's serialiser.
    #[must_use]
    pub const fn of() -> Self {
        Self {
            encode: S::encode,
            decode: S::decode,
            serialiser: PhantomData,
        }
    }
}

mod sealed {
    pub trait Sealed {}
}

impl<A: 'static, R: 'static> sealed::Sealed for RawArgs<fn(A) -> R> {}
impl<A: 'static, R: 'static> Signature for RawArgs<fn(A) -> R> {
    type Arguments = A;
    type Output = R;
    type Call = (A,);
    fn enter(arguments: A) -> (A,) {
        (arguments,)
    }
    fn nothing() -> Option<A> {
        None
    }
}

macro_rules! signatures {
    (@nothing) => { Some(()) };
    (@nothing $($name:ident)+) => { None };
    ($($name:ident),*) => {
        impl<R: 'static, $($name: 'static),*> sealed::Sealed for fn($($name),*) -> R {}
        impl<R: 'static, $($name: 'static),*> Signature for fn($($name),*) -> R {
            type Arguments = ($($name,)*);
            type Output = R;
            type Call = Self::Arguments;
            fn enter(arguments: Self::Arguments) -> Self::Arguments {
                arguments
            }
            fn nothing() -> Option<Self::Arguments> {
                signatures!(@nothing $($name)*)
            }
        }
    };
}
each_arity!(signatures);

/// A `PhantomData` of types that are only named. It is `Send` and `Sync` in any case.
pub(crate) type Types<T> = std::marker::PhantomData<fn() -> T>;
