//! The declaration of values that a template loads before it forks.

use std::fmt::Display;
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::sync::OnceLock;

use offspring_serialisers::{Octets, SendAs, Serialiser};

use crate::base::registry::{Named, PreloadEntry, origin_of};
use crate::error::Error;
use crate::message::Message;
use crate::signature::{self, Signature, each_arity};
use crate::sys::preloads;

/// A value that a [`Template`](crate::Template) loads before it forks, and the function that creates it. Declared by
/// [`preload!`](crate::preload).
///
/// `T` is the type of the value, `S` the serialiser of the function's arguments, and `I` their signature.
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
    run: fn(PreloadArgs<S, I>) -> Result<T, String>,
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
    pub const fn new(name: &'static str, run: fn(PreloadArgs<S, I>) -> Result<T, String>) -> Self {
        Self {
            name,
            declared: Location::caller(),
            run,
            value: OnceLock::new(),
        }
    }

    /// Returns the value: in a child of a template that has loaded it, and in the functions that the template runs to preload
    /// further values. `None` in any other process.
    ///
    /// The value is a copy of the child's. Its memory is shared with the template and the other children until a process writes
    /// to it. It is never dropped.
    ///
    /// ```
    /// use offspring::{Template, preload, worker};
    ///
    /// preload!(WORDS() -> Vec<String> = || Ok::<_, String>(vec!["one".into(), "two".into()]));
    /// worker!(COUNT: fn() -> String = || format!("{:?}", WORDS.get().map(Vec::len)));
    ///
    /// fn main() -> Result<(), offspring::Error> {
    ///     offspring::init();
    ///     let template = Template::builder().preload(&WORDS).start()?;
    ///     assert_eq!(COUNT.template(&template).spawn()?.call().wait()?, "Some(2)");
    ///     assert_eq!(COUNT.spawn()?.call().wait()?, "None"); // not from the template
    ///     assert!(WORDS.get().is_none());
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    fn spec(&'static self, arguments: Result<Message, Error>) -> PreloadSpec {
        PreloadSpec {
            name: self.name,
            origin: origin_of(preloads(), self, self.name, self.declared),
            arguments,
        }
    }
}

/// A value for a template to preload, with the arguments of its function: from [`Preload::with`], or from a reference to a
/// [`Preload`] without arguments. For [`TemplateBuilder::preload`](crate::TemplateBuilder::preload).
///
/// ```
/// use offspring::{PreloadSpec, Template, preload};
///
/// preload!(TEXT(String) -> String = std::fs::read_to_string);
/// preload!(EMPTY() -> Vec<u8> = || Ok::<_, String>(Vec::new()));
///
/// fn main() -> Result<(), offspring::Error> {
///     offspring::init();
///     let values: [PreloadSpec; 2] = [TEXT.with("/proc/self/comm"), (&EMPTY).into()];
///     let builder = values.into_iter().fold(Template::builder(), |builder, value| builder.preload(value));
///     builder.start()?.ready().wait()
/// }
/// ```
#[derive(Debug)]
#[must_use = "give it to `TemplateBuilder::preload`"]
pub struct PreloadSpec {
    pub(crate) name: &'static str,
    pub(crate) origin: String,
    pub(crate) arguments: Result<Message, Error>,
}

impl<T, S> From<&'static Preload<T, S, fn()>> for PreloadSpec {
    fn from(preload: &'static Preload<T, S, fn()>) -> Self {
        preload.spec(Ok(Message::new()))
    }
}

macro_rules! withs {
    ($(#[$hidden:meta])? $($name:ident $form:ident $argument:ident),+) => {
        $(#[$hidden])?
        impl<T, S, $($name: 'static),*> Preload<T, S, fn($($name),*)> {
            /// Sets the arguments of the function. They are encoded at once, and sent again if the template is replaced. They
            /// may hold file descriptors. Descriptors that the function keeps open are open in each child, too.
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
            pub fn with<$($form),*>(&'static self, $($argument: $form),*) -> PreloadSpec
            where
                $($form: SendAs<$name>,)*
                S: Serialiser<($($name,)*), ($($form::Form,)*)>,
            {
                let arguments = ($($argument.into_form(),)*);
                let mut message = Message::new();
                let encoded = <S as Serialiser<($($name,)*), _>>::encode(&arguments, &mut message.output(true));
                self.spec(encoded.map(|()| message).map_err(|error| Error::encode("the arguments of a preload", error)))
            }
        }
    };
}
withs!(A1 X1 a);
withs!(#[doc(hidden)] A1 X1 a, A2 X2 b);
withs!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c);
withs!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d);

/// The encoded arguments of a preload's function, and their file descriptors.
#[derive(Debug)]
pub struct PreloadArgs<S, I> {
    arguments: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    types: crate::signature::Types<(S, I)>,
}

impl<S, I> PreloadArgs<S, I>
where
    I: Signature,
    S: Serialiser<I::Arguments>,
{
    /// Decodes the arguments, and calls the function.
    pub fn run<T, Failed: Display>(
        self,
        function: impl PreloadFn<I::Call, Result<T, Failed>>,
    ) -> Result<T, String> {
        let arguments = signature::arguments::<I, S>(&self.arguments, self.descriptors)?;
        function.load(arguments).map_err(|error| error.to_string())
    }
}

/// A function that [`preload!`](crate::preload) accepts: it takes the arguments of the declaration, and is not async.
///
/// ```
/// fn accepts<T>(_: impl offspring::PreloadFn<(String,), std::io::Result<T>>) {}
///
/// accepts(|path| std::fs::read(path));
/// ```
#[diagnostic::on_unimplemented(
    message = "this function does not fit the declaration",
    label = "does not fit the arguments in the declaration",
    note = "it takes the arguments of the declaration; it is not async, and returns a `Result`"
)]
pub trait PreloadFn<Arguments, R> {
    /// Calls the function.
    #[doc(hidden)]
    fn load(self, arguments: Arguments) -> R;
}

macro_rules! loads {
    ($($name:ident),*) => {
        #[allow(non_snake_case, reason = "variables are named like types")]
        impl<Fun, R, $($name),*> PreloadFn<($($name,)*), R> for Fun
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

impl<T: Send + Sync, S, I> Named for Preload<T, S, I> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn origin(&self) -> String {
        self.declared.to_string()
    }
}

impl<T: Send + Sync, S, I> PreloadEntry for Preload<T, S, I> {
    fn load(&'static self, arguments: &[u8], descriptors: Vec<OwnedFd>) -> Result<(), String> {
        let arguments = PreloadArgs {
            arguments: arguments.to_vec(),
            descriptors,
            types: crate::signature::Types::default(),
        };
        let value = (self.run)(arguments)?;
        self.value
            .set(value)
            .map_err(|_| "it is preloaded twice".to_owned())
    }
}

/// Declares a value that a [`Template`](crate::Template) loads once, before it forks children, and the function that creates it.
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
///     /// All known words.
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
/// Expands to a `static` of type [`Preload`], and registers it with [`init`](crate::init). The function takes the arguments
/// of the declaration, up to four of them, and returns `Result<T, impl Display>`. The value is shared by threads, so `T` is
/// `Send + Sync`. These options may follow the function, in any order:
///
/// * `serialiser = S`, or `serializer = S`: the format of the arguments. Default: [`Octets`].
/// * `name = "…"`. Default: the module's path and the static's name.
///
/// # What it may do
///
/// The function may do anything except leave threads behind. A template forks only while it has a single thread; otherwise
/// each start fails with an error that says so. A descriptor that the function opens is open in the children, too.
///
/// Create values that must differ between children in the worker's `init`. A random generator that is seeded here yields
/// the same numbers in each child, because handlers of `pthread_atfork` are not run. A connection would be shared by all
/// children.
///
/// If the function fails, panics, or ends the process, the start of a child fails with that error. The next start creates a
/// new template, which calls the function again.
#[doc(alias = "serializer")]
#[doc(alias = "require")]
#[doc(alias = "eval")]
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

/// Parses the options of a declaration one by one (name, serialiser), and then expands to the static.
#[doc(hidden)]
#[macro_export]
macro_rules! __preload {
    ($head:tt $name:tt $serialiser:tt name = $new:expr $(, $($rest:tt)*)?) => {
        $crate::__preload!($head [$new] $serialiser $($($rest)*)?);
    };
    ($head:tt $name:tt $serialiser:tt serialiser = $new:ty $(, $($rest:tt)*)?) => {
        $crate::__preload!($head $name [$new] $($($rest)*)?);
    };
    ($head:tt $name:tt $serialiser:tt serializer = $($rest:tt)*) => {
        $crate::__preload!($head $name $serialiser serialiser = $($rest)*);
    };
    ([$(#[$meta:meta])* $vis:vis $static:ident [$type:ty] $arguments:tt $function:expr] [$name:expr] [$serialiser:ty]) => {
        #[cfg(not(doc))]
        $crate::__preload!(@static [$(#[$meta])* $vis $static [$type] $arguments $function] [$name] [
            $crate::__private::IfFits<$serialiser, {
                #[allow(unused_imports, reason = "it is looked for if there is no other")]
                use $crate::__private::Otherwise as _;
                <$crate::__private::Fits<$crate::__preload!(@signature $arguments), $serialiser, (), ()>>::FITS
            }>
        ]);
        // rustdoc shows the declared serialiser.
        #[cfg(doc)]
        $crate::__preload!(@static [$(#[$meta])* $vis $static [$type] $arguments $function] [$name] [$serialiser]);
        const _: () = <$crate::__preload!(@signature $arguments) as $crate::__private::Carried<$serialiser, (), ()>>::CHECKED;
        $crate::__register!(Preload $static);
    };
    (@signature [$($argument:ty),*]) => { fn($($argument),*) };
    (@static [$(#[$meta:meta])* $vis:vis $static:ident [$type:ty] [$($argument:ty),*] $function:expr] [$name:expr] [$serialiser:ty]) => {
        $(#[$meta])*
        $vis static $static: $crate::Preload<$type, $serialiser, fn($($argument),*)> =
            $crate::Preload::new($name, |arguments| arguments.run($function));
    };
    ($head:tt $name:tt $serialiser:tt $option:ident $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "`", ::core::stringify!($option), "` is no option of `preload!`, or not written so; the options are \
            `serialiser = S`, `name = \"…\"`"
        ));
    };
}
