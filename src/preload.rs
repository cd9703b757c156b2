//! Declaring what a template loads before it forks.

use std::fmt::Display;
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::sync::OnceLock;

use offspring_serialisers::{Octets, SendAs, Serialiser};

use crate::base::registry::{Declaration, Loads, origin_of};
use crate::error::Error;
use crate::parcel::Parcel;
use crate::signature::{self, Signature, each_arity};
use crate::sys::preloads;

/// What a [`Template`](crate::Template) loads before it forks, as declared by
/// [`preload!`](crate::preload): a value, and the function that makes it, once.
///
/// `T` is the type of the value, `S` the serialiser of the function's arguments,
/// `I` their signature.
///
/// ```
/// use offspring::{Template, preload, worker};
///
/// preload!(WORDS() -> Vec<String> = || Ok::<_, String>(vec!["so".to_owned()]));
/// worker!(KNOWS: fn(String) -> String = |word: String| {
///     let words = WORDS.get().expect("this runs in a child of a template that has it");
///     words.contains(&word).to_string()
/// });
///
/// fn main() -> Result<(), offspring::Error> {
///     offspring::init();
///     let template = Template::builder().preload(&WORDS).start()?;
///     let rpc = KNOWS.template(&template).spawn()?;
///     assert_eq!(rpc.call("so").wait()?, "true");
///     assert!(WORDS.get().is_none(), "it is not loaded here");
///     Ok(())
/// }
/// ```
pub struct Preload<T, S = Octets, I = fn()> {
    name: &'static str,
    declared: &'static Location<'static>,
    run: fn(Loading<S, I>) -> Result<T, String>,
    value: OnceLock<T>,
}

impl<T, S, I> std::fmt::Debug for Preload<T, S, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Preload({} at {})", self.name, self.declared)
    }
}

impl<T, S, I> Preload<T, S, I> {
    /// For the macro.
    #[doc(hidden)]
    #[track_caller]
    pub const fn new(name: &'static str, run: fn(Loading<S, I>) -> Result<T, String>) -> Self {
        Self {
            name,
            declared: Location::caller(),
            run,
            value: OnceLock::new(),
        }
    }

    /// The value, in a child of a template that has loaded it, and in what else
    /// that template preloads after it. `None` in any other process.
    ///
    /// It is the child's own copy; the memory is shared with the template and
    /// its other children for as long as nobody writes to it. It is never
    /// dropped.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    fn loading(&'static self, arguments: Result<Parcel, Error>) -> Preloading {
        Preloading {
            name: self.name,
            origin: origin_of(preloads(), self, self.name, self.declared),
            arguments,
        }
    }
}

/// What a template is to preload, with the arguments: from
/// [`Preload::with`](crate::Preload::with), or from a reference to a [`Preload`]
/// that takes none.
#[derive(Debug)]
#[must_use = "give it to `TemplateBuilder::preload`"]
pub struct Preloading {
    pub(crate) name: &'static str,
    pub(crate) origin: String,
    pub(crate) arguments: Result<Parcel, Error>,
}

impl<T, S> From<&'static Preload<T, S, fn()>> for Preloading {
    fn from(preload: &'static Preload<T, S, fn()>) -> Self {
        preload.loading(Ok(Parcel::new()))
    }
}

macro_rules! withs {
    ($(#[$hidden:meta])? $($name:ident $form:ident $argument:ident),+) => {
        $(#[$hidden])?
        impl<T, S, $($name: 'static),*> Preload<T, S, fn($($name),*)> {
            /// The arguments of the function. They are encoded at once, and used
            /// again if the template has to be started anew. They may hold
            /// descriptors; what the function keeps open of them, and of what it
            /// opens itself, each child has, too.
            ///
            /// ```
            /// use offspring::{Template, preload};
            ///
            /// preload!(TEXT(String) -> String = std::fs::read_to_string);
            ///
            /// fn main() -> Result<(), offspring::Error> {
            ///     offspring::init();
            ///     let template = Template::builder()
            ///         .preload(TEXT.with("/proc/self/comm"))
            ///         .start()?;
            ///     template.ready().wait()
            /// }
            /// ```
            #[allow(clippy::too_many_arguments, reason = "one for each of the function's")]
            pub fn with<$($form),*>(&'static self, $($argument: $form),*) -> Preloading
            where
                $($form: SendAs<$name>,)*
                S: Serialiser<($($name,)*), ($($form::Form,)*)>,
            {
                let arguments = ($($argument.into_form(),)*);
                let mut parcel = Parcel::new();
                let encoded = <S as Serialiser<($($name,)*), _>>::encode(&arguments, &mut parcel.output(true));
                self.loading(encoded.map(|()| parcel).map_err(|error| Error::encode("the arguments of a preload", error)))
            }
        }
    };
}
withs!(A1 X1 a);
withs!(#[doc(hidden)] A1 X1 a, A2 X2 b);
withs!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c);
withs!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d);

/// What a declaration's function is given: its arguments in bytes, and
/// descriptors.
#[derive(Debug)]
pub struct Loading<S, I> {
    arguments: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    types: crate::signature::Types<(S, I)>,
}

impl<S, I> Loading<S, I>
where
    I: Signature,
    S: Serialiser<I::Arguments>,
{
    /// Calls the function.
    pub fn run<T, Failed: Display>(
        self,
        function: impl Load<I::Call, Result<T, Failed>>,
    ) -> Result<T, String> {
        let arguments = signature::arguments::<I, S>(&self.arguments, self.descriptors)?;
        function.load(arguments).map_err(|error| error.to_string())
    }
}

/// A function that can be preloaded: it takes the arguments of the declaration.
#[diagnostic::on_unimplemented(
    message = "this function does not fit the declaration",
    label = "does not fit the arguments in the declaration",
    note = "it takes the arguments of the declaration; it is not async, and returns a `Result`"
)]
pub trait Load<Arguments, R> {
    /// Calls it.
    #[doc(hidden)]
    fn load(self, arguments: Arguments) -> R;
}

macro_rules! loads {
    ($($name:ident),*) => {
        #[allow(non_snake_case, reason = "variables are named like types")]
        impl<Fun, R, $($name),*> Load<($($name,)*), R> for Fun
        where
            Fun: FnOnce($($name),*) -> R,
        {
            fn load(self, ($($name,)*): ($($name,)*)) -> R {
                self($($name),*)
            }
        }
    };
}
each_arity!(loads);

impl<T: Send + Sync, S, I> Declaration for Preload<T, S, I> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn origin(&self) -> String {
        self.declared.to_string()
    }
}

impl<T: Send + Sync, S, I> Loads for Preload<T, S, I> {
    fn load(&'static self, arguments: &[u8], descriptors: Vec<OwnedFd>) -> Result<(), String> {
        let loading = Loading {
            arguments: arguments.to_vec(),
            descriptors,
            types: crate::signature::Types::default(),
        };
        let value = (self.run)(loading)?;
        self.value
            .set(value)
            .map_err(|_| "it is preloaded twice".to_owned())
    }
}

/// Declares what a [`Template`](crate::Template) loads, once, before it forks
/// children: a value, and the function that makes it.
///
/// ```
/// use std::collections::HashSet;
///
/// use offspring::{Template, preload, worker};
///
/// fn read(path: String) -> std::io::Result<HashSet<String>> {
///     let text = std::fs::read_to_string(path)?;
///     Ok(text.split_whitespace().map(str::to_owned).collect())
/// }
///
/// preload!(
///     /// All words there are.
///     pub WORDS(String) -> HashSet<String> = read
/// );
///
/// worker!(KNOWS: fn(String) -> String = |word: String| {
///     WORDS.get().is_some_and(|words| words.contains(&word)).to_string()
/// });
///
/// fn main() -> Result<(), offspring::Error> {
///     offspring::init();
///     let template = Template::builder().preload(WORDS.with("/proc/self/comm")).start()?;
///     let rpc = KNOWS.template(&template).spawn()?;
///     assert_eq!(rpc.call("no such word").wait()?, "false");
///     Ok(())
/// }
/// ```
///
/// It stands for a `static` of type [`Preload`], and leaves word of it for
/// [`init`](crate::init). The function takes the arguments of the declaration,
/// up to four of them, and returns `Result<T, impl Display>`. The value is shared
/// by threads, so `T` is `Send + Sync`. After the function may follow, in any
/// order:
///
/// * `serialiser = S`: for the arguments, instead of [`Octets`](crate::Octets).
/// * `name = "…"`: instead of the module's path and the static's name.
///
/// # What it may do
///
/// Anything but leave threads behind: a template forks only while it has one
/// thread, and else each start fails with an error that says so. Whatever it
/// opens, the children have open, too. What must not be the same in each of them
/// does not belong here: a random generator that is seeded here yields the same
/// numbers in each child (handlers of `pthread_atfork`, by which some notice a
/// fork, are not run), and one connection would be shared by all. Such things
/// belong into the worker's `init`.
///
/// An error, a panic, or the end of the process here is the error of each start,
/// until the function does better: each makes a new template.
#[macro_export]
macro_rules! preload {
    ($(#[$meta:meta])* $vis:vis $name:ident($($argument:ty),* $(,)?) -> $type:ty = $function:expr $(, $($options:tt)*)?) => {
        $crate::__preload!(
            [$(#[$meta])* $vis $name [$type] [$($argument),*] $function]
            [::core::concat!(::core::module_path!(), "::", ::core::stringify!($name))] [$crate::Octets]
            $($($options)*)?
        );
    };
}

/// The options of a declaration, one after the other: name, serialiser; and then
/// the static.
#[doc(hidden)]
#[macro_export]
macro_rules! __preload {
    ($head:tt $name:tt $serialiser:tt name = $new:expr $(, $($rest:tt)*)?) => {
        $crate::__preload!($head [$new] $serialiser $($($rest)*)?);
    };
    ($head:tt $name:tt $serialiser:tt serialiser = $new:ty $(, $($rest:tt)*)?) => {
        $crate::__preload!($head $name [$new] $($($rest)*)?);
    };
    ([$(#[$meta:meta])* $vis:vis $static:ident [$type:ty] [$($argument:ty),*] $function:expr] [$name:expr] [$serialiser:ty]) => {
        $(#[$meta])*
        $vis static $static: $crate::Preload<$type, $serialiser, fn($($argument),*)> =
            $crate::Preload::new($name, |loading| loading.run($function));
        $crate::__register!(Preload $static);
    };
}
