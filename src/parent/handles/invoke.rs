//! The methods that make calls: they encode the arguments and pass the bytes to the driver.

use std::sync::Arc;

use offspring_serialisers::{Error as SerialiserError, Output, SendAs, Serialiser};

use super::call::Call;
use super::open_call::{CallState, OpenCall};
use super::rpc::Rpc;
use super::try_call_error::TryCallError;
use crate::error::Error;
use crate::message::Message;
use crate::parent::child::interface::Refusal;
use crate::parent::client::AnyCall;
use crate::parent::forked::ClientRef;
use crate::protocol::HEADER;
use crate::signature::{RawArgs, Signature};

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

    /// Makes the call if there is room. Otherwise returns the arguments.
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

    fn handle<R>(&self, sent: Result<AnyCall, Refusal>) -> Call<R, E>
    where
        S: Serialiser<R>,
    {
        let state = match sent {
            Ok(pending) => CallState::Open(OpenCall::new(pending, self.defaults)),
            Err(Refusal::Failed(error)) => self.failed(error),
            Err(Refusal::Full) => self.failed(TryCallError(()).into()),
        };
        Call::new(state, <S as Serialiser<R>>::decode, self.decode_event)
    }

    fn failed(&self, error: Error) -> CallState {
        let error = self.about(error);
        CallState::Failed(error, ClientRef::new(Arc::clone(self.client())))
    }

    fn send(
        &self,
        may_wait: bool,
        encode: impl FnOnce(&mut Output<'_>) -> Result<(), SerialiserError>,
    ) -> Result<AnyCall, Refusal> {
        let carries = self.client().carries_descriptors();
        with_message(|message| {
            let encoded = crate::base::panics::catch_panic(|| encode(&mut message.output(carries)));
            encoded
                .unwrap_or_else(|panic| Err(SerialiserError::new(panic)))
                .map_err(|error| Error::encode("the arguments", error))?;
            if message.frame.len() < HEADER {
                return Err(Error::encode(
                    "the arguments",
                    SerialiserError::new("the serialiser took bytes away that were not its own"),
                )
                .into());
            }
            Arc::clone(self.client()).call(message, may_wait)
        })
    }
}

/// Calls `use_it` with a recycled buffer that has space for a header. A nested use, inside the serialisation of a value, gets
/// another buffer.
fn with_message<T>(use_it: impl FnOnce(&mut Message) -> T) -> T {
    let mut message = Message::new();
    let value = use_it(&mut message);
    message.recycle();
    value
}

/// Generates the methods for one number of arguments. They are documented for two.
macro_rules! calls {
    ($(#[$hidden:meta])? $($name:ident $form:ident $argument:ident),*) => {
        $(#[$hidden])?
        impl<R: 'static, S, Ev, $($name: 'static),*> Rpc<fn($($name),*) -> R, S, Ev> {
            /// Calls the worker's function in the child.
            ///
            /// This is the method for two arguments. It exists for zero to eight. For a worker that takes the array of
            /// arguments whole ([`RawArgs`]), the method takes that array.
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
            /// All errors are returned by the [`Call`], those of encoding the arguments included.
            #[allow(clippy::too_many_arguments, reason = "one for each of the worker's")]
            pub fn call<$($form),*>(&self, $($argument: $form),*) -> Call<R, Ev>
            where
                $($form: SendAs<$name>,)*
                S: Serialiser<($($name,)*), ($($form::Form,)*)> + Serialiser<R>,
            {
                let arguments = ($($argument.into_form(),)*);
                self.start::<R>(|output| <S as Serialiser<($($name,)*), _>>::encode(&arguments, output))
            }

            /// Calls the function like [`call`](Self::call) if there is room. Otherwise returns the arguments, in the form in
            /// which they are sent. This is the method for two arguments. It exists for zero to eight.
            ///
            /// ```
            /// # offspring::worker!(ADD: fn(i32, i32) -> i32 = |a: i32, b: i32| a + b);
            /// # offspring::worker!(JOIN: fn(..Vec<String>) -> String = |words: Vec<String>| words.join(" "));
            /// # fn main() -> Result<(), offspring::Error> {
            /// # offspring::init();
            /// let add = ADD.spawn()?;
            /// match add.try_call(3, 4) {
            ///     Ok(call) => assert_eq!(call.wait()?, 7),
            ///     Err(full) => println!("not now: {:?}", full.into_inner()),
            /// }
            ///
            /// // A worker that takes the array of arguments.
            /// let join = JOIN.spawn()?;
            /// match join.try_call(vec!["so".to_owned()]) {
            ///     Ok(call) => assert_eq!(call.wait()?, "so"),
            ///     Err(full) => println!("not now: {}", full.into_inner().join(" ")),
            /// }
            /// # Ok(()) }
            /// ```
            ///
            /// There is room if the call and its bytes are within the limits of
            /// [`max_outstanding`](crate::Builder::max_outstanding), and no other call is queued. A pool has room if fewer
            /// calls and bytes are queued than [`max_queue`](crate::PoolBuilder::max_queue) allows. The arguments are encoded
            /// in any case.
            ///
            /// # Errors
            ///
            /// There is no room now. All other errors are returned by the [`Call`].
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
impl<A: 'static, R: 'static, S, E> Rpc<RawArgs<fn(A) -> R>, S, E> {
    /// Calls the function with an array of arguments.
    pub fn call<X>(&self, arguments: X) -> Call<R, E>
    where
        X: SendAs<A>,
        S: Serialiser<A, X::Form> + Serialiser<R>,
    {
        let arguments = arguments.into_form();
        self.start::<R>(|output| <S as Serialiser<A, _>>::encode(&arguments, output))
    }

    /// Calls the function with an array of arguments if there is room.
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
    /// Calls the worker's function with all arguments in a single value, for code that is generic over the signature.
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
