//! Making calls: the arguments become bytes, and go to the driver.

use std::sync::Arc;

use offspring_serialisers::{Error as SerialiserError, Output, SendAs, Serialiser};

use super::call::Call;
use super::open::{Open, State};
use super::rpc::Rpc;
use super::try_call_error::TryCallError;
use crate::error::Error;
use crate::parcel::Parcel;
use crate::parent::child::terms::Refusal;
use crate::parent::forked::Reach;
use crate::parent::target::Pending;
use crate::protocol::HEADER;
use crate::signature::{Signature, Whole};

impl<F, S, E> Rpc<F, S, E> {
    pub(super) fn start<R>(
        &self,
        encode: impl FnOnce(&mut Output<'_>) -> Result<(), SerialiserError>,
    ) -> Call<R, E>
    where
        S: Serialiser<R>,
    {
        self.handle(self.send(true, encode))
    }

    /// Makes the call if it need not wait for room.
    fn try_start<R, X>(
        &self,
        arguments: X,
        encode: fn(&X, &mut Output<'_>) -> Result<(), SerialiserError>,
    ) -> Result<Call<R, E>, TryCallError<X>>
    where
        S: Serialiser<R>,
    {
        match self.send(false, |output| encode(&arguments, output)) {
            Err(Refusal::Full) => Err(TryCallError(arguments)),
            sent => Ok(self.handle(sent)),
        }
    }

    fn handle<R>(&self, sent: Result<Pending, Refusal>) -> Call<R, E>
    where
        S: Serialiser<R>,
    {
        let state = match sent {
            Ok(pending) => State::Open(Open::new(pending, self.defaults)),
            Err(Refusal::Failed(error)) => self.failed(error),
            Err(Refusal::Full) => self.failed(TryCallError(()).into()),
        };
        Call::new(state, <S as Serialiser<R>>::decode, self.decode_event)
    }

    fn failed(&self, error: Error) -> State {
        let error = self.about(error);
        State::Failed(error, Reach::new(Arc::clone(self.origin())))
    }

    fn send(
        &self,
        may_wait: bool,
        encode: impl FnOnce(&mut Output<'_>) -> Result<(), SerialiserError>,
    ) -> Result<Pending, Refusal> {
        let carries = self.origin().carries_descriptors();
        with_parcel(|parcel| {
            let encoded = crate::base::panics::shielded(|| encode(&mut parcel.output(carries)));
            encoded
                .unwrap_or_else(|panic| Err(SerialiserError::new(panic)))
                .map_err(|error| Error::encode("the arguments", error))?;
            if parcel.frame.len() < HEADER {
                return Err(Error::encode(
                    "the arguments",
                    SerialiserError::new("the serialiser took bytes away that were not its own"),
                )
                .into());
            }
            Arc::clone(self.origin()).call(parcel, may_wait)
        })
    }
}

/// Lends a buffer of this thread, with room for a header in front. A nested
/// use, in a value's own serialisation, gets another one.
fn with_parcel<T>(use_it: impl FnOnce(&mut Parcel) -> T) -> T {
    let mut parcel = Parcel::new();
    let value = use_it(&mut parcel);
    parcel.recycle();
    value
}

/// The methods for one number of arguments. They are documented for two.
macro_rules! calls {
    ($(#[$hidden:meta])? $($name:ident $form:ident $argument:ident),*) => {
        $(#[$hidden])?
        impl<R: 'static, S, Ev, $($name: 'static),*> Rpc<fn($($name),*) -> R, S, Ev> {
            /// Calls the worker's function in the child.
            ///
            /// This is the method for two arguments; with others, up to eight or none, it is the same. A worker that
            /// takes the array of arguments whole ([`Whole`]) is given that one.
            ///
            /// ```
            /// # offspring::worker!(ADD: fn(i32, i32) -> i32 = |a: i32, b: i32| a + b);
            /// # offspring::worker!(JOIN: fn(..Vec<String>) -> String = |words: Vec<String>| words.join(" "));
            /// # fn main() -> Result<(), offspring::Error> {
            /// # offspring::init();
            /// let add = ADD.spawn()?;
            /// let (one, two) = (add.call(3, 4), add.call(5, 6)); // both are in flight
            /// assert_eq!(one.wait()? + two.wait()?, 18);
            ///
            /// let join = JOIN.spawn()?;
            /// let words = ["any".to_owned(), "number".to_owned()];
            /// assert_eq!(join.call(&words).wait()?, "any number");
            /// # Ok(()) }
            /// ```
            ///
            /// Never blocks. The arguments are encoded at once, so they may be borrowed: `&str` for a `String`, `&Path` for
            /// a `PathBuf`, `&[T]` for a `Vec<T>` ([`SendAs`]). While the limits of
            /// [`max_outstanding`](crate::Builder::max_outstanding) are reached, the bytes are queued in this process.
            ///
            /// All errors come through the [`Call`], also that the arguments could not be encoded.
            #[allow(clippy::too_many_arguments, reason = "one for each of the worker's")]
            pub fn call<$($form),*>(&self, $($argument: $form),*) -> Call<R, Ev>
            where
                $($form: SendAs<$name>,)*
                S: Serialiser<($($name,)*), ($($form::Form,)*)> + Serialiser<R>,
            {
                let arguments = ($($argument.into_form(),)*);
                self.start::<R>(|output| <S as Serialiser<($($name,)*), _>>::encode(&arguments, output))
            }

            /// Like [`call`](Self::call) if there is room; else gives the arguments back, in the form in which they are
            /// sent. The method for two arguments stands for those of other numbers, too.
            ///
            /// ```
            /// # offspring::worker!(ADD: fn(i32, i32) -> i32 = |a: i32, b: i32| a + b);
            /// # fn main() -> Result<(), offspring::Error> {
            /// # offspring::init();
            /// let rpc = ADD.spawn()?;
            /// match rpc.try_call(3, 4) {
            ///     Ok(call) => assert_eq!(call.wait()?, 7),
            ///     Err(full) => println!("not now: {:?}", full.into_inner()),
            /// }
            /// # Ok(()) }
            /// ```
            ///
            /// There is room while the call, with its bytes, stays within the limits of
            /// [`max_outstanding`](crate::Builder::max_outstanding) and no other call is queued; of a pool, while fewer
            /// calls and bytes are queued than [`max_queue`](crate::PoolBuilder::max_queue) says. The arguments are encoded
            /// before that is known.
            ///
            /// # Errors
            ///
            /// There is no room now. All other errors come through the [`Call`].
            #[allow(clippy::too_many_arguments, reason = "one for each of the worker's")]
            pub fn try_call<$($form),*>(&self, $($argument: $form),*) -> Result<Call<R, Ev>, TryCallError<($($form::Form,)*)>>
            where
                $($form: SendAs<$name>,)*
                S: Serialiser<($($name,)*), ($($form::Form,)*)> + Serialiser<R>,
            {
                let arguments = ($($argument.into_form(),)*);
                self.try_start(arguments, <S as Serialiser<($($name,)*), _>>::encode)
            }
        }
    };
}
calls!(A1 X1 a, A2 X2 b);
calls!(#[doc(hidden)]);
calls!(#[doc(hidden)] A1 X1 a);
calls!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c);
calls!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d);
calls!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e);
calls!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e, A6 X6 f);
calls!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e, A6 X6 f, A7 X7 g);
calls!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e, A6 X6 f, A7 X7 g, A8 X8 h);

#[doc(hidden)]
impl<A: 'static, R: 'static, S, E> Rpc<Whole<fn(A) -> R>, S, E> {
    /// The same for an array of arguments.
    pub fn call<X>(&self, arguments: X) -> Call<R, E>
    where
        X: SendAs<A>,
        S: Serialiser<A, X::Form> + Serialiser<R>,
    {
        let arguments = arguments.into_form();
        self.start::<R>(|output| <S as Serialiser<A, _>>::encode(&arguments, output))
    }

    /// The same for an array of arguments.
    ///
    /// # Errors
    ///
    /// There is no room now.
    pub fn try_call<X>(&self, arguments: X) -> Result<Call<R, E>, TryCallError<X::Form>>
    where
        X: SendAs<A>,
        S: Serialiser<A, X::Form> + Serialiser<R>,
    {
        self.try_start(arguments.into_form(), <S as Serialiser<A, _>>::encode)
    }
}

impl<F: Signature, S, E> Rpc<F, S, E> {
    /// Calls the worker's function with the arguments as one value: for code
    /// that is generic over the signature.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.spawn()?;
    /// assert_eq!(rpc.call_with(&("so".to_owned(),)).wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn call_with(&self, arguments: &F::Arguments) -> Call<F::Output, E>
    where
        S: Serialiser<F::Arguments> + Serialiser<F::Output>,
    {
        self.start::<F::Output>(|output| <S as Serialiser<F::Arguments>>::encode(arguments, output))
    }
}
