//! A single call to a new child.

use offspring_serialisers::{Format, SendAs, Serialiser};

use super::Worker;
use crate::parent::{Builder, Call, Once, Rpc};
use crate::signature::{RawArgs, Service};

impl<T: ?Sized, S: Format, E: Send + 'static> Builder<Service<T>, S, E> {
    /// Starts a child with these options, makes the call, and ends the child: see [`Once`].
    ///
    /// ```
    /// use offspring::{service, worker};
    ///
    /// service! {
    ///     /// Works on words.
    ///     pub trait Words => WordsClient {
    ///         /// Repeats a word.
    ///         fn twice(&self, word: String) -> String;
    ///     }
    /// }
    /// struct Plain;
    /// impl Words for Plain {
    ///     fn twice(&self, word: String) -> String {
    ///         word.repeat(2)
    ///     }
    /// }
    /// worker!(WORDS: dyn Words = || Plain);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// assert_eq!(WORDS.builder().once(|words| words.twice("so")).wait()?, "soso");
    /// # Ok(()) }
    /// ```
    pub fn once<R>(self, call: impl FnOnce(&Rpc<Service<T>, S, E>) -> Call<R, E>) -> Once<R, E> {
        Once::new(self.spawn_without_handle(), call)
    }
}

impl<T: ?Sized, S: Format, E: Send + 'static> Worker<Service<T>, S, E> {
    /// Starts a child that runs this program, makes the call, and ends the child: see [`Once`]. For other children, and for
    /// arguments of `init`, use [`Builder::once`].
    ///
    /// ```
    /// # offspring::service! {
    /// #     trait Words => WordsClient {
    /// #         fn twice(&self, word: String) -> String;
    /// #     }
    /// # }
    /// # struct Plain;
    /// # impl Words for Plain {
    /// #     fn twice(&self, word: String) -> String {
    /// #         word.repeat(2)
    /// #     }
    /// # }
    /// # offspring::worker!(WORDS: dyn Words = || Plain);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// assert_eq!(WORDS.once(|words| words.twice("so")).wait()?, "soso");
    /// # Ok(()) }
    /// ```
    ///
    /// Blocks like [`spawn`](Self::spawn), and does not wait for the call. All errors are returned by the result.
    pub fn once<R>(
        &'static self,
        call: impl FnOnce(&Rpc<Service<T>, S, E>) -> Call<R, E>,
    ) -> Once<R, E> {
        self.builder().once(call)
    }
}

/// Generates the methods for one number of arguments. They are documented for two.
macro_rules! once {
    ($(#[$hidden:meta])? [$signature:ty] $($name:ident $form:ident $argument:ident),* : $arguments:ty, $forms:ty) => {
        $(#[$hidden])?
        impl<R: 'static, S: Format, Ev: Send + 'static, $($name: 'static),*> Builder<$signature, S, Ev> {
            /// Starts a child with these options, makes a call with any number of arguments, and ends the child: see [`Once`].
            ///
            /// ```
            /// # offspring::worker!(ADD: fn(i32, i32) -> i32 = |a: i32, b: i32| a + b);
            /// # fn main() -> Result<(), offspring::Error> {
            /// # offspring::init();
            /// assert_eq!(ADD.builder().env_clear().once(3, 4).wait()?, 7);
            /// # Ok(()) }
            /// ```
            ///
            /// Blocks like [`spawn`](Self::spawn), and does not wait for the call. All errors are returned by the result.
            #[allow(clippy::too_many_arguments, reason = "one for each of the worker's")]
            pub fn once<$($form),*>(self, $($argument: $form),*) -> Once<R, Ev>
            where
                $($form: SendAs<$name>,)*
                S: Serialiser<$arguments, $forms> + Serialiser<R>,
            {
                Once::new(self.spawn_without_handle(), |rpc| rpc.call($($argument),*))
            }
        }

        $(#[$hidden])?
        impl<R: 'static, S: Format, Ev: Send + 'static, $($name: 'static),*> Worker<$signature, S, Ev> {
            /// Starts a child that runs this program, makes a call with any number of arguments, and ends the child: see [`Once`].
            /// For other children, and for arguments of `init`, use [`Builder::once`].
            ///
            /// ```
            /// # offspring::worker!(ADD: fn(i32, i32) -> i32 = |a: i32, b: i32| a + b);
            /// # fn main() -> Result<(), offspring::Error> {
            /// # offspring::init();
            /// assert_eq!(ADD.once(3, 4).wait()?, 7);
            /// # Ok(()) }
            /// ```
            ///
            /// Blocks like [`spawn`](Self::spawn), and does not wait for the call. All errors are returned by the result.
            #[allow(clippy::too_many_arguments, reason = "one for each of the worker's")]
            pub fn once<$($form),*>(&'static self, $($argument: $form),*) -> Once<R, Ev>
            where
                $($form: SendAs<$name>,)*
                S: Serialiser<$arguments, $forms> + Serialiser<R>,
            {
                self.builder().once($($argument),*)
            }
        }
    };
    ($(#[$hidden:meta])? $($name:ident $form:ident $argument:ident),*) => {
        once!($(#[$hidden])? [fn($($name),*) -> R] $($name $form $argument),* : ($($name,)*), ($($form::Form,)*));
    };
}
once!(A1 X1 a, A2 X2 b);
once!(#[doc(hidden)] [RawArgs<fn(A) -> R>] A X arguments: A, X::Form);
once!(#[doc(hidden)]);
once!(#[doc(hidden)] A1 X1 a);
once!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c);
once!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d);
once!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e);
once!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e, A6 X6 f);
once!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e, A6 X6 f, A7 X7 g);
once!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e, A6 X6 f, A7 X7 g, A8 X8 h);
