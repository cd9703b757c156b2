//! Calling a worker in a child of its own.

use offspring_serialisers::{Format, SendAs, Serialiser};

use super::Worker;
use crate::parent::{Builder, Once};
use crate::signature::Whole;

macro_rules! once {
    ([$signature:ty] $($name:ident $form:ident $argument:ident),* : $arguments:ty, $forms:ty) => {
        impl<R: 'static, S: Format, Ev: Send + 'static, $($name: 'static),*> Builder<$signature, S, Ev> {
            /// Starts a child so, calls it once, and has it end: see [`Once`].
            ///
            /// Blocks as [`spawn`](Self::spawn) does, and not for the call. All errors come through the result.
            #[allow(clippy::too_many_arguments, reason = "one for each of the worker's")]
            pub fn once<$($form),*>(self, $($argument: $form),*) -> Once<R, Ev>
            where
                $($form: SendAs<$name>,)*
                S: Serialiser<$arguments, $forms> + Serialiser<R>,
            {
                Once::new(self.kill_on_drop(true).spawn(), |rpc| rpc.call($($argument),*))
            }
        }

        impl<R: 'static, S: Format, Ev: Send + 'static, $($name: 'static),*> Worker<$signature, S, Ev> {
            /// Starts a child of this program, calls it once, and has it end: see [`Once`]. Other kinds of children, and
            /// arguments of `init`: [`Builder::once`](Builder).
            ///
            /// Blocks as [`spawn`](Self::spawn) does, and not for the call. All errors come through the result.
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
    ($($name:ident $form:ident $argument:ident),*) => {
        once!([fn($($name),*) -> R] $($name $form $argument),* : ($($name,)*), ($($form::Form,)*));
    };
}
once!([Whole<fn(A) -> R>] A X arguments: A, X::Form);
once!();
once!(A1 X1 a);
once!(A1 X1 a, A2 X2 b);
once!(A1 X1 a, A2 X2 b, A3 X3 c);
once!(A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d);
once!(A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e);
once!(A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e, A6 X6 f);
once!(A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e, A6 X6 f, A7 X7 g);
once!(A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e, A6 X6 f, A7 X7 g, A8 X8 h);
