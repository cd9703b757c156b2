//! What a declaration says of a worker's function: arguments and result.

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

/// The events of a worker that has none. There is no such value.
///
/// ```
/// # use offspring::{NoEvents, Octets, Worker};
/// // A worker without events is one with these.
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

/// The arguments of `init` or of a preload, from what was sent at the start.
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
/// [`Whole<fn(A) -> R>`](Whole). It is a type only; no such function exists.
///
/// ```
/// fn arguments<F: offspring::Signature<Arguments = (String, u32)>>() {}
///
/// arguments::<fn(String, u32) -> bool>();
/// ```
pub trait Signature: sealed::Sealed + 'static {
    /// What travels: a tuple with an element for each argument, or the whole.
    type Arguments: 'static;
    /// What comes back.
    type Output: 'static;
    /// The arguments as the function takes them.
    #[doc(hidden)]
    type Call;
    #[doc(hidden)]
    fn enter(arguments: Self::Arguments) -> Self::Call;
    /// The arguments if there are none, whatever the serialiser makes of that.
    #[doc(hidden)]
    fn nothing() -> Option<Self::Arguments>;
}

/// A signature whose arguments may be an `X` each time, in the format `S`: for the items of
/// [`Rpc::map`](crate::Rpc::map).
///
/// With one argument `X` is what `call` takes: a `String` or `&str` for a `String`, say. With several, or with none, it is
/// a tuple of these. With [`Whole`] it is the array of arguments.
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

impl<A: 'static, R: 'static, X, S> Takes<X, S> for Whole<fn(A) -> R>
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

/// Arguments that are one value, and not a tuple with an element for each.
#[doc(hidden)]
#[derive(Debug)]
pub struct Entire<A>(pub A);

/// The signature of a worker that takes the array of arguments whole, any
/// number of them, as the functions of `AnyEvent::Fork::RPC` do. In a
/// declaration it is written `fn(..Vec<String>) -> R`.
///
/// ```
/// use offspring::{Whole, Worker, worker};
///
/// worker!(COUNT: fn(..Vec<String>) -> String = |words: Vec<String>| words.len().to_string());
///
/// static SAME: &Worker<Whole<fn(Vec<String>) -> String>> = &COUNT;
/// ```
pub struct Whole<F>(PhantomData<F>);

impl<F> std::fmt::Debug for Whole<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Whole")
    }
}

/// The signature of a worker that is a service: of `dyn Trait`, where
/// [`service!`](crate::service) declares the trait.
///
/// ```
/// use offspring::{Rpc, Service, service};
///
/// service! {
///     /// Counts.
///     pub trait Counter => CounterClient {
///         /// One more of these.
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

/// What [`service!`](crate::service) declares besides the methods, for
/// `dyn Trait`.
///
/// ```
/// use offspring::{Methods, service};
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
/// assert_eq!(<<dyn Counter as Methods>::Serialiser as Format>::NAME, "octets");
/// ```
pub trait Methods {
    /// How arguments, results and events become bytes.
    type Serialiser: Format;
    /// The type of the events.
    type Events;
    #[doc(hidden)]
    const EVENTS: EventCodec<Self::Events, Self::Serialiser>;
}

/// How the events of a worker become bytes and come out of them.
#[doc(hidden)]
pub struct EventCodec<E, S> {
    pub(crate) encode: fn(&E, &mut Output<'_>) -> Result<(), SerialiserError>,
    pub(crate) decode: fn(&mut Input<'_>) -> Result<E, SerialiserError>,
    serialiser: Types<S>,
}

impl<E, S> std::fmt::Debug for EventCodec<E, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventCodec")
    }
}

impl<S> EventCodec<NoEvents, S> {
    /// Of a worker that has no events.
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
    /// As the worker's serialiser does it.
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

impl<A: 'static, R: 'static> sealed::Sealed for Whole<fn(A) -> R> {}
impl<A: 'static, R: 'static> Signature for Whole<fn(A) -> R> {
    type Arguments = A;
    type Output = R;
    type Call = Entire<A>;
    fn enter(arguments: A) -> Entire<A> {
        Entire(arguments)
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

/// Types that are only named, whatever they own or borrow.
pub(crate) type Types<T> = std::marker::PhantomData<fn() -> T>;
