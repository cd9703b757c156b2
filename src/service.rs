//! Services: several methods of one worker.

use offspring_serialisers::Serialiser;

/// What can be an argument. A trait of the type, so that the compiler points at
/// the one that cannot.
#[diagnostic::on_unimplemented(
    message = "the format `{S}` cannot carry the argument `{Self}`",
    note = "for all types of serde: `serialiser = offspring::Cbor` behind the name of the client, and `features = [\"cbor\"]` for `offspring` in Cargo.toml"
)]
pub trait Argument<S> {}
#[diagnostic::do_not_recommend]
impl<T, S: Serialiser<(T,)>> Argument<S> for T {}
/// What can be a result.
#[diagnostic::on_unimplemented(
    message = "the format `{S}` cannot carry the result `{Self}`",
    note = "for all types of serde: `serialiser = offspring::Cbor` behind the name of the client, and `features = [\"cbor\"]` for `offspring` in Cargo.toml"
)]
pub trait Outcome<S> {}
#[diagnostic::do_not_recommend]
impl<T, S: Serialiser<T>> Outcome<S> for T {}
/// Compiles for an argument of a method.
pub fn check_argument<T: Argument<S>, S>() {}
/// Compiles for a result of a method.
pub fn check_result<T: Outcome<S>, S>() {}

/// Declares a service: several methods of one worker, and how they are called.
///
/// ```
/// use offspring::{Events, service, worker};
///
/// service! {
///     /// Keeps words.
///     pub trait Words => WordsClient, events = String {
///         /// Adds a word; how many there are.
///         fn add(&mut self, word: String) -> usize;
///         /// Returns the words that begin like this, and tells of each word that it looks at.
///         fn find(&self, begin: String, events: &Events<String>) -> Vec<String>;
///     }
/// }
///
/// struct List(Vec<String>);
///
/// impl Words for List {
///     fn add(&mut self, word: String) -> usize {
///         self.0.push(word);
///         self.0.len()
///     }
///     fn find(&self, begin: String, events: &Events<String>) -> Vec<String> {
///         let look = |word: &&String| {
///             events.progress((*word).clone()).expect("the parent is there");
///             word.starts_with(&begin)
///         };
///         self.0.iter().filter(look).cloned().collect()
///     }
/// }
///
/// worker!(WORDS: dyn Words = || List(Vec::new()));
///
/// fn main() -> Result<(), offspring::Error> {
///     offspring::init();
///     let words = WORDS.spawn()?;
///     words.add("one").wait()?;
///     assert_eq!(words.add("two").wait()?, 2);
///     assert_eq!(words.find("t").wait()?, ["two"]);
///     Ok(())
/// }
/// ```
///
/// Expands to two traits. The first is implemented by what a child keeps: its
/// methods take `&mut self` or `&self`, arguments that are owned, and at the end
/// `&Events<E>` if they wish, where `events = E` is given. The second has the same
/// methods for the handles and pools of workers that are a `dyn Words`: like
/// [`Rpc::call`](crate::Rpc::call) they take what stands for the arguments and
/// return a [`Call`](crate::Call). It has to be in scope where they are called. A
/// method of `Rpc` itself comes first: if the service has a `join`, say
/// `WordsClient::join(&words)`.
///
/// Behind the name of the client may follow `serialiser = S`, instead of
/// [`Octets`](crate::Octets), and then `events = E`. A method has up to seven
/// arguments.
///
/// [`worker!`](crate::worker) makes a worker of it. What stands behind `dyn Words =`
/// makes what implements the trait, once in each child: a function without
/// arguments, or with `init(A, B)` one of these arguments that returns a `Result`.
/// All of the other ways to start and to call workers are there, with
/// [`once`](crate::Builder::once) for one call, and [`Rpc::method`](crate::Rpc::method)
/// for a method whose handle has `map`. A program that only calls the service leaves
/// `= …` out.
///
/// # Many calls at once
///
/// With an `async fn` among the methods, which needs the feature `concurrent`, the
/// child runs all calls at once: all methods take `&self` then, and those that are
/// not async hold up the others.
///
/// # What travels
///
/// The arguments of a call are one array, whose first element is the name of the
/// method. So a worker `fn(..Vec<String>) -> R`, or one in another language, can
/// serve it, and a program in another language can call it. Both sides need not
/// have the same methods: the call of a method that the child has not fails with
/// an error that lists those it has ([`is_refused`](crate::Error::is_refused)), and
/// the child lives (in the plain form every failed call ends it). A
/// [format](crate::format::Format) of your own implements [`method`](crate::format::Format::method).
#[macro_export]
macro_rules! service {
    ($(#[$meta:meta])* $vis:vis trait $trait:ident => $client:ident $(, serialiser = $serialiser:ty)? $(, events = $events:ty)? { $($methods:tt)* }) => {
        $crate::__service!(
            [$(#[$meta])* $vis $trait $client] [$($serialiser)?] [$($events)?] [] [] $($methods)*
        );
    };
}

/// What a method returns that says so, or does not.
#[doc(hidden)]
#[macro_export]
macro_rules! __output {
    () => {
        ()
    };
    ($output:ty) => {
        $output
    };
}

/// The methods of a service, one after the other, and then all of it.
#[doc(hidden)]
#[macro_export]
macro_rules! __service {
    // Backend, and a method: how it runs, its `self`, its attributes, its name, its arguments, its result.
    ($head:tt $s:tt $e:tt $backend:tt [$($done:tt)*] $(#[$meta:meta])* async fn $name:ident(&self $(, $($arguments:tt)*)?) $(-> $output:ty)?; $($rest:tt)*) => {
        $crate::__service!($head $s $e [CONCURRENT] [$($done)* [async [&] [$(#[$meta])*] $name [$($($arguments)*)?] [$crate::__output!($($output)?)]]] $($rest)*);
    };
    ($head:tt $s:tt $e:tt $backend:tt [$($done:tt)*] $(#[$meta:meta])* fn $name:ident(&self $(, $($arguments:tt)*)?) $(-> $output:ty)?; $($rest:tt)*) => {
        $crate::__service!($head $s $e $backend [$($done)* [sync [&] [$(#[$meta])*] $name [$($($arguments)*)?] [$crate::__output!($($output)?)]]] $($rest)*);
    };
    ($head:tt $s:tt $e:tt $backend:tt [$($done:tt)*] $(#[$meta:meta])* fn $name:ident(&mut self $(, $($arguments:tt)*)?) $(-> $output:ty)?; $($rest:tt)*) => {
        $crate::__service!($head $s $e $backend [$($done)* [sync [&mut] [$(#[$meta])*] $name [$($($arguments)*)?] [$crate::__output!($($output)?)]]] $($rest)*);
    };
    ($head:tt [] $e:tt $backend:tt $methods:tt) => {
        $crate::__service!($head [$crate::Octets] $e $backend $methods);
    };
    ($head:tt [$s:ty] [] $backend:tt $methods:tt) => {
        $crate::__service!($head [$s] [$crate::NoEvents, $crate::EventCodec::none()] $backend $methods);
    };
    ($head:tt [$s:ty] [$e:ty] $backend:tt $methods:tt) => {
        $crate::__service!($head [$s] [$e, $crate::EventCodec::of()] $backend $methods);
    };
    ([$(#[$meta:meta])* $vis:vis $trait:ident $client:ident] [$s:ty] [$e:ty, $codec:expr] $backend:tt [$([$how:ident $self:tt $metas:tt $name:ident $arguments:tt $output:tt])*]) => {
        $(#[$meta])*
        #[allow(dead_code)]
        $vis trait $trait {
            $($crate::__method!(trait [$how $self $metas $name $output] [] [] $arguments);)*
        }

        impl $crate::Methods for dyn $trait {
            type Serialiser = $s;
            type Events = $e;
            const EVENTS: $crate::EventCodec<$e, $s> = $codec;
        }

        #[doc = ::core::concat!("The methods of [`", ::core::stringify!($trait), "`], as they are called.")]
        #[allow(dead_code, non_camel_case_types)]
        $vis trait $client {
            $($crate::__method!(client [[$s] [$e] $metas $name $output] [] [] $arguments);)*
        }

        #[allow(non_camel_case_types)]
        impl $client for $crate::Rpc<$crate::Service<dyn $trait>, $s, $e> {
            $($crate::__method!(call [[$s] [$e] $metas $name $output] [] [] $arguments);)*
        }

        impl<State: $trait> $crate::__private::Dispatch<State, $e> for dyn $trait {
            $crate::__dispatch!($backend $trait State [$s] [$e] [$([$how $self $name $arguments $output])*]);
        }
    };
}

/// How the methods of a service are found in a child, one after the other or at once.
#[doc(hidden)]
#[macro_export]
macro_rules! __dispatch {
    ([] $trait:ident $state:ident [$s:ty] [$e:ty] [$([$how:ident $self:tt $name:ident $arguments:tt $output:tt])*]) => {
        #[allow(unused_mut)]
        fn serve(serving: $crate::__private::Serving<$e>, mut state: $state) -> i32 {
            serving.one_by_one(|request, events| match &*request.method::<$s>()? {
                $(::core::stringify!($name) => $crate::__method!(answer [request [$s] $trait $name $self state events $output] [] [] $arguments),)*
                other => ::core::result::Result::Err($crate::__private::no_method(other, &[$(::core::stringify!($name)),*])),
            })
        }
    };
    ([CONCURRENT] $trait:ident $state:ident [$s:ty] [$e:ty] [$([$how:ident $self:tt $name:ident $arguments:tt $output:tt])*]) => {
        const BACKEND: $crate::__private::Backend = $crate::__private::CONCURRENT;
        fn serve(serving: $crate::__private::Serving<$e>, state: $state) -> i32 {
            let state = &state;
            serving.at_once(&|request| match &*request.method::<$s>()? {
                $(::core::stringify!($name) => $crate::__method!(begin [request [$s] $trait $name $how $self state $output] [] [] $arguments),)*
                other => ::core::result::Result::Err($crate::__private::no_method(other, &[$(::core::stringify!($name)),*])),
            })
        }
    };
}

/// One method of a service: first its arguments and its events, and then one of its places.
#[doc(hidden)]
#[macro_export]
macro_rules! __method {
    ($place:ident $method:tt $done:tt [] [$name:ident: &Events<$events:ty> $(,)?]) => {
        $crate::__method! { $place $method $done [$name $events] [] }
    };
    ($place:ident $method:tt $done:tt [] [$name:ident: &offspring::Events<$events:ty> $(,)?]) => {
        $crate::__method! { $place $method $done [$name $events] [] }
    };
    ($place:ident $method:tt $done:tt [] [$name:ident: & $($rest:tt)*]) => {
        ::core::compile_error!("an argument of a service's method is owned (`String`, and not `&str`; the client may lend it), or at the end `&Events<E>`");
    };
    ($place:ident $method:tt [$($done:tt)*] [] [$name:ident: $type:ty $(, $($rest:tt)*)?]) => {
        $crate::__method! { $place $method [$($done)* $name [$type]] [] [$($($rest)*)?] }
    };
    (trait [sync [$($self:tt)*] [$($meta:tt)*] $name:ident [$output:ty]] [$($argument:ident [$type:ty])*] [$($ev:ident $events:ty)?] []) => {
        $($meta)*
        fn $name($($self)* self, $($argument: $type,)* $($ev: &$crate::Events<$events>)?) -> $output
        where
            Self: Sized;
    };
    (trait [async [&] [$($meta:tt)*] $name:ident [$output:ty]] [$($argument:ident [$type:ty])*] [$($ev:ident $events:ty)?] []) => {
        $($meta)*
        fn $name(&self, $($argument: $type,)* $($ev: &$crate::Events<$events>)?) -> impl ::core::future::Future<Output = $output>
        where
            Self: Sized;
    };
    (client [[$s:ty] [$e:ty] [$($meta:tt)*] $name:ident [$output:ty]] [$($argument:ident [$type:ty])*] $events:tt []) => {
        $($meta)*
        fn $name<$($argument),*>(&self, $($argument: $argument),*) -> $crate::Call<$output, $e>
        where
            $($argument: $crate::format::SendAs<$type>,)*
            $s: $crate::format::Serialiser<(::std::string::String, $($type,)*), (&'static str, $($argument::Form,)*)>;
    };
    (call [[$s:ty] [$e:ty] [$($meta:tt)*] $name:ident [$output:ty]] [$($argument:ident [$type:ty])*] $events:tt []) => {
        fn $name<$($argument),*>(&self, $($argument: $argument),*) -> $crate::Call<$output, $e>
        where
            $($argument: $crate::format::SendAs<$type>,)*
            $s: $crate::format::Serialiser<(::std::string::String, $($type,)*), (&'static str, $($argument::Form,)*)>,
        {
            self.method::<fn(::std::string::String, $($type),*) -> $output>().call(::core::stringify!($name), $($argument),*)
        }
    };
    (answer [$request:ident [$s:ty] $trait:ident $name:ident [$($self:tt)*] $state:ident $events:ident [$output:ty]] [$($argument:ident [$type:ty])*] [$($ev:ident $ev_type:ty)?] []) => {
        {
            $($crate::__private::check_argument::<$type, $s>();)*
            $crate::__private::check_result::<$output, $s>();
            $request.answer::<fn(::std::string::String, $($type),*) -> $output, $s>(
                |(_, $($argument,)*)| $trait::$name($($self)* $state, $($argument,)* $({ let $ev = $events; $ev })?)
            )
        }
    };
    (begin [$request:ident $s:tt $trait:ident $name:ident sync [&mut] $state:ident $output:tt] $arguments:tt $events:tt []) => {
        ::core::compile_error!("a service with an `async fn` runs its calls at once: all its methods take `&self`")
    };
    (begin [$request:ident [$s:ty] $trait:ident $name:ident $how:ident [&] $state:ident [$output:ty]] [$($argument:ident [$type:ty])*] [$($ev:ident $ev_type:ty)?] []) => {
        {
            $($crate::__private::check_argument::<$type, $s>();)*
            $crate::__private::check_result::<$output, $s>();
            $request.begin::<fn(::std::string::String, $($type),*) -> $output, $s>(
                async move |(_, $($argument,)*), events| {
                    let output = $trait::$name($state, $($argument,)* $({ let $ev = events; $ev })?);
                    $crate::__awaited!($how output)
                }
            )
        }
    };
}

/// What an `async` or a `sync` method has given.
#[doc(hidden)]
#[macro_export]
macro_rules! __awaited {
    (sync $output:ident) => {
        $output
    };
    (async $output:ident) => {
        $output.await
    };
}
