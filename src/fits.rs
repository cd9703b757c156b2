//! Checks that a format carries all values of a declaration, with one error where it does not.
//!
//! The serialiser of a worker that fails the check is [`Unfit`], which carries everything. So no call of the worker is a
//! second error.

use std::marker::PhantomData;

use offspring_serialisers::{Error, Format, Input, Output, Serialiser};

use crate::signature::Signature;

/// A signature whose values the format `S` carries, and two more types: those of events and of what `init` takes.
pub trait Carried<S, Event, Init> {
    /// Names the check.
    const CHECKED: () = ();
}

impl<F, S, Event, Init> Carried<S, Event, Init> for F
where
    F: Signature,
    S: Carries<F::Arguments, Same: Carries<F::Output, Same: Carries<Event, Same: Carries<Init>>>>,
{
}

/// An array of arguments that the format `S` carries, with a result, and the types of [`Carried`]. A trait of the array, so that
/// the compiler points at it.
pub trait CarriedArray<S, Event, Init, Output = ()> {
    /// Names the check.
    const CHECKED: () = ();
}

impl<A, S, Event, Init, Output> CarriedArray<S, Event, Init, Output> for A where
    S: Carries<A, Same: Carries<Output, Same: Carries<Event, Same: Carries<Init>>>>
{
}

/// A format that carries a type.
pub trait Carries<T> {
    /// The format. A bound on it is checked only if the format carries the type, so the first error is the only one.
    type Same;
}

impl<S: Serialiser<T>, T> Carries<T> for S {
    type Same = S;
}

/// The check as a value. If it fails, [`Otherwise`] is the only constant that applies.
#[derive(Debug)]
pub struct Fits<F, S, Event, Init>(PhantomData<(F, S, Event, Init)>);

impl<F: Carried<S, Event, Init>, S, Event, Init> Fits<F, S, Event, Init> {
    /// The check holds.
    pub const FITS: bool = true;
}

/// The constant of [`Fits`] where the check fails.
pub trait Otherwise {
    /// The check fails.
    const FITS: bool = false;
}

impl<F, S, Event, Init> Otherwise for Fits<F, S, Event, Init> {}

/// The format `S` if it fits, or one that carries everything.
pub type IfFits<S, const FITS: bool> = <S as Choose<FITS>>::Serialiser;

/// A choice of [`IfFits`].
pub trait Choose<const FITS: bool> {
    /// The chosen format.
    type Serialiser;
}

impl<S> Choose<true> for S {
    type Serialiser = S;
}

impl<S> Choose<false> for S {
    type Serialiser = Unfit;
}

/// A format in programs that do not compile.
#[derive(Debug)]
pub struct Unfit;

impl Format for Unfit {
    const NAME: &'static str = "unfit";
}

#[diagnostic::do_not_recommend]
impl<T, Sent: ?Sized> Serialiser<T, Sent> for Unfit {
    fn encode(_: &Sent, _: &mut Output<'_>) -> Result<(), Error> {
        unreachable!()
    }

    fn decode(_: &mut Input<'_>) -> Result<T, Error> {
        unreachable!()
    }
}
