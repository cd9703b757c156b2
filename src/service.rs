//! Services: workers with several methods.

use offspring_serialisers::Serialiser;

use crate::signature::Part;

/// An argument of a method. A trait of the argument's type, so that the compiler points at the type that the format cannot
/// carry.
#[diagnostic::on_unimplemented(
    message = "the format `{S}` cannot carry `{Self}`",
    label = "not a value of this format",
    note = "the formats over serde carry types with `#[derive(serde::Serialize, serde::Deserialize)]`"
)]
pub trait Argument<S> {
    /// Forces the check where it is used.
    const CHECKED: () = ();
}
impl<T, S: Serialiser<(T,)>> Argument<S> for T {}

/// A result of a method, or an event. Otherwise the same as [`Argument`].
#[diagnostic::on_unimplemented(
    message = "the format `{S}` cannot carry `{Self}`",
    label = "not a value of this format",
    note = "the formats over serde carry types with `#[derive(serde::Serialize, serde::Deserialize)]`"
)]
pub trait Outcome<S> {
    /// Forces the check where it is used.
    const CHECKED: () = ();
}
impl<T, S: Serialiser<T>> Outcome<S> for T {}

/// Returns the first type that the format does not carry. Only its check fails, so the compiler reports a single error.
#[must_use]
pub const fn first_unfit(methods: &[&[Part]]) -> Option<Part> {
    let mut method = 0;
    while method < methods.len() {
        let mut part = 0;
        while part < methods[method].len() {
            if !methods[method][part].2 {
                return Some(methods[method][part]);
            }
            part += 1;
        }
        method += 1;
    }
    None
}

/// Returns whether the first type that the format does not carry is this one.
#[must_use]
pub const fn is_unfit(unfit: Option<Part>, method: &str, part: &str) -> bool {
    match unfit {
        Some(unfit) => is_same(unfit.0, method) && is_same(unfit.1, part),
        None => false,
    }
}

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// Declares a service: a worker with several methods, and its client.
///
/// ```
/// use offspring::{Events, service, worker};
///
/// service! {
///     /// Keeps words.
///     pub trait Words => WordsClient, events = String {
///         /// Adds a word. Returns the number of words.
///         fn add(&mut self, word: String) -> usize;
///         /// Returns the words that begin with `begin`. Sends each word that it compares as an event.
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
///             events.progress((*word).clone()).expect("the parent runs");
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
/// Expands to two traits. The state of a child implements the first, here `Words`. Its methods take `&mut self` or `&self`, and
/// owned arguments. With `events = E`, the last argument may be `&Events<E>`. The second trait, here `WordsClient`, has the same
/// methods for the handles and pools of `dyn Words` workers. Like [`Rpc::call`](crate::Rpc::call), they take any form of the
/// arguments, and return a [`Call`](crate::Call). The trait must be in scope. A method of `Rpc` itself has priority: to call a
/// service's `join`, write `WordsClient::join(&words)`.
///
/// After the name of the client, `serialiser = S` (or `serializer = S`) and `events = E` may follow, in any order. The default
/// serialiser is `Octets`. A method has up to seven arguments.
///
/// [`worker!`](crate::worker) declares a worker from it. The function after `dyn Words =` creates the state, once in each child.
/// It has no arguments, or, with `init(A, B)`, has these arguments and returns a `Result`. Services are started and called like
/// other workers: [`once`](crate::Worker::once) makes a single call, [`map_calls`](crate::Rpc::map_calls) calls a method with
/// each of many items, and [`Rpc::method`](crate::Rpc::method) calls a method that the client lacks. A program that only calls
/// the service omits `= …`.
///
/// # Many calls at once
///
/// If a method is an `async fn`, which needs the feature `concurrent`, the child runs all calls at the same time. All methods
/// must then take `&self`, and a method that is not async delays the others while it runs.
///
/// # What is sent
///
/// The arguments of a call are an array, whose first element is the name of the method. A worker `fn(..Vec<String>) -> R`, or a
/// program in another language, can therefore serve the service, and a program in another language can call it.
///
/// Client and child need not have the same methods. The call of a method that the child does not have fails with an error
/// that lists the methods of the child ([`is_refused`](crate::Error::is_refused)), and the child keeps running. A custom
/// [format](crate::format::Format) implements [`method`](crate::format::Format::method).
///
/// # With Perl, Python and others
///
/// The [plain form](crate::Builder::plain) has no handshake. A frame is a number and a length of 4 bytes each, most
/// significant byte first, and the payload. The answer of a call has the number of the call; the number 0 is an event, from
/// [`Events::send`](crate::Events::send) ([`progress`](crate::Events::progress) needs the full form). A call that fails has
/// no answer: the child says why on stderr, and exits with status 101.
///
/// In `Octets` each element is a string with its length in front. A server in Perl, for
/// `WORDS.command(Command::new("words.pl")).plain()`:
///
/// ```perl
/// binmode STDIN; binmode STDOUT; $| = 1;
/// while (8 == read STDIN, my $header, 8) {
///     my ($id, $length) = unpack "NN", $header;
///     read STDIN, my $request, $length;
///     my ($method, @arguments) = unpack "(w/a*)*", $request;
///     my @result = $methods{$method}->(@arguments);
///     print pack "NN/a*", $id, pack "(w/a*)*", @result;
/// }
/// ```
///
/// In `Json` the same in Python:
///
/// ```python
/// while header := sys.stdin.buffer.read(8):
///     number, length = struct.unpack(">II", header)
///     method, *arguments = json.loads(sys.stdin.buffer.read(length))
///     result = json.dumps(getattr(words, method)(*arguments)).encode()
///     sys.stdout.buffer.write(struct.pack(">II", number, len(result)) + result)
///     sys.stdout.buffer.flush()
/// ```
///
/// In both, stdout is the link: a `print` of the worker, or of a library, breaks it. The example `python_worker.py` moves the
/// link to another descriptor first.
///
/// A client starts a program whose `main` is [`Worker::serve`](crate::Worker::serve), and writes requests to its stdin. In
/// Perl, where `$from` and `$to` lead to the program:
///
/// ```perl
/// syswrite $to, pack "NN/a*", 1, pack "(w/a*)*", "add", "one";
/// ```
///
/// With `AnyEvent::Fork::RPC` that is `$rpc->(add => "one", sub { … })`. Lengths above 127 have several bytes, which `w`
/// supports. `docs/protocol.md` is the full specification, and `examples/python_parent.py` a client in Python.
#[doc(alias = "serializer")]
#[doc(alias = "method")]
#[doc(alias = "interface")]
#[macro_export]
macro_rules! service {
    ($(#[$meta:meta])* $vis:vis trait $trait:ident => $client:ident $($rest:tt)*) => {
        $crate::__service_options!([$(#[$meta])* $vis $trait $client] [] [] $($rest)*);
    };
    ($(#[$meta:meta])* $vis:vis trait $trait:ident $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "a service names its client: `trait ", ::core::stringify!($trait), " => ", ::core::stringify!($trait), "Client { … }`"
        ));
    };
}

/// Parses the options of a service one by one: serialiser, events.
#[doc(hidden)]
#[macro_export]
macro_rules! __service_options {
    ($head:tt $s:tt $e:tt $(,)? { $($methods:tt)* }) => {
        $crate::__service!($head $s $e [] [] $($methods)*);
    };
    ($head:tt $s:tt $e:tt, serialiser = $new:ty $({ $($methods:tt)* })? $(, $($rest:tt)*)?) => {
        $crate::__service_options!($head [$new] $e $({ $($methods)* })? $(, $($rest)*)?);
    };
    ($head:tt $s:tt $e:tt, serializer = $($rest:tt)*) => {
        $crate::__service_options!($head $s $e, serialiser = $($rest)*);
    };
    ($head:tt $s:tt $e:tt, events = $new:ty $({ $($methods:tt)* })? $(, $($rest:tt)*)?) => {
        $crate::__service_options!($head $s [$new] $({ $($methods)* })? $(, $($rest)*)?);
    };
    ($head:tt $s:tt $e:tt, $option:ident $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "`", ::core::stringify!($option), "` is no option of `service!`, or not written so; the options are `serialiser = S`, `events = E`"
        ));
    };
}

/// Expands to the declared return type of a method, or to `()`.
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

/// Parses the methods of a service one by one, and then expands to the service.
#[doc(hidden)]
#[macro_export]
macro_rules! __service {
    // Backend, and a method: how it runs, its attributes, its name, its result. Its `self` and its arguments are checked first.
    ($head:tt $s:tt $e:tt [] $done:tt $(#[$meta:meta])* async fn $name:tt $arguments:tt $($rest:tt)*) => {
        $crate::__concurrent_service!([$name $arguments] $head $s $e [CONCURRENT] $done $(#[$meta])* async fn $name $arguments $($rest)*);
    };
    ($head:tt $s:tt $e:tt $backend:tt $done:tt $(#[$meta:meta])* async fn $name:tt $arguments:tt $(-> $output:ty)?; $($rest:tt)*) => {
        $crate::__checked!($arguments async $e $name $arguments $head $s $backend $done [$(#[$meta])*] [$crate::__output!($($output)?)] $($rest)*);
    };
    ($head:tt $s:tt $e:tt $backend:tt $done:tt $(#[$meta:meta])* fn $name:tt $arguments:tt $(-> $output:ty)?; $($rest:tt)*) => {
        $crate::__checked!($arguments sync $e $name $arguments $head $s $backend $done [$(#[$meta])*] [$crate::__output!($($output)?)] $($rest)*);
    };
    ($head:tt $s:tt $e:tt $backend:tt $done:tt $(#[$meta:meta])* $(async)? fn $name:tt $arguments:tt $(-> $output:ty)? { $($body:tt)* } $($rest:tt)*) => {
        $crate::__fail!([$name $arguments] "a method of a service has no body, since the state's type implements it: end it with `;`");
    };
    ($head:tt [] $e:tt $backend:tt $methods:tt) => {
        $crate::__service!($head [$crate::Octets] $e $backend $methods);
    };
    ($head:tt [$s:ty] [] $backend:tt $methods:tt) => {
        $crate::__service!($head [$s] [$crate::NoEvents, $crate::EventCodec::none()] $backend $methods);
    };
    ($head:tt [$s:ty] [$e:ty] $backend:tt $methods:tt) => {
        $crate::__service!($head [$s] [$e, $crate::EventCodec::of(), $e] $backend $methods);
    };
    ([$(#[$meta:meta])* $vis:vis $trait:ident $client:ident] [$s:ty] [$e:ty, $codec:expr $(, $event:ty)?] $backend:tt [$([$how:ident $self:tt $metas:tt $name:tt $arguments:tt $output:tt])*]) => {
        $(#[$meta])*
        #[allow(dead_code)]
        $vis trait $trait {
            $($crate::__method!(trait [$how $self $metas $name $output] [] [] $arguments);)*
        }

        #[cfg(not(doc))]
        impl $crate::ServiceTypes for dyn $trait {
            type Serialiser = $crate::__private::IfFits<$s, { <Self as $crate::ServiceTypes>::UNFIT.is_none() }>;
            type Events = $e;
            const EVENTS: $crate::EventCodec<$e, Self::Serialiser> = $codec;
            const UNFIT: ::core::option::Option<$crate::__private::Part> = {
                #[allow(unused_imports, reason = "it is looked for if there is no other")]
                use $crate::__private::Otherwise as _;
                $crate::__private::first_unfit(&[
                    $(&[("", "", $crate::__fits!($s, $event))],)?
                    $($crate::__method!(fits [[$s] $name $output] [] [] $arguments)),*
                ])
            };
        }

        // rustdoc shows the declared serialiser.
        #[cfg(doc)]
        impl $crate::ServiceTypes for dyn $trait {
            type Serialiser = $s;
            type Events = $e;
            const EVENTS: $crate::EventCodec<$e, $s> = $codec;
        }

        const _: () = {
            $(<$event as $crate::__private::Outcome<$crate::__suspect!(dyn $trait, $s, "", "")>>::CHECKED;)?
            $($crate::__method!(check [$trait [$s] $name $output] [] [] $arguments);)*
        };

        $crate::__client! {
            [$vis $trait $client] [<dyn $trait as $crate::ServiceTypes>::Serialiser] [$e] $backend
            [$([$how $self $metas $name $arguments $output])*]
        }
    };
}

/// Checks a method: its `self` and its arguments. Then parses the next one.
#[doc(hidden)]
#[macro_export]
macro_rules! __checked {
    (
        (& $(mut)? self, $a:ident: $t1:path, $b:ident: $t2:path, $c:ident: $t3:path, $d:ident: $t4:path, $f:ident: $t5:path, $g:ident: $t6:path,
        $h:ident: $t7:path, $i:ident: $t8:path $(, $($more:tt)*)?) $how:ident $e:tt $name:tt $raw:tt $($rest:tt)*
    ) => {
        $crate::__fail!([$name $raw] "a method of a service has at most seven arguments; some may be a tuple or a struct");
    };
    // Arguments that are paths need no look at each, which would make the recursion deep.
    (
        (&self $(, $argument:ident: $type:path)* $(,)?) $how:ident $e:tt $name:tt $raw:tt $head:tt $s:tt $backend:tt [$($done:tt)*] $metas:tt $output:tt
        $($rest:tt)*
    ) => {
        $crate::__service!($head $s $e $backend [$($done)* [$how [&] $metas $name $raw $output]] $($rest)*);
    };
    (
        (&mut self $(, $argument:ident: $type:path)* $(,)?) sync $e:tt $name:tt $raw:tt $head:tt $s:tt $backend:tt [$($done:tt)*] $metas:tt $output:tt
        $($rest:tt)*
    ) => {
        $crate::__service!($head $s $e $backend [$($done)* [sync [&mut] $metas $name $raw $output]] $($rest)*);
    };
    (
        (&self, $($arguments:tt)*) $how:ident $e:tt $name:tt $raw:tt $head:tt $s:tt $backend:tt [$($done:tt)*] $metas:tt $output:tt $($rest:tt)*
    ) => {
        $crate::__checked!(@[$($arguments)*] [1 2 3 4 5 6 7] $e [$name $raw] $head $s $e $backend [$($done)* [$how [&] $metas $name $raw $output]] $($rest)*);
    };
    (
        (&mut self, $($arguments:tt)*) sync $e:tt $name:tt $raw:tt $head:tt $s:tt $backend:tt [$($done:tt)*] $metas:tt $output:tt $($rest:tt)*
    ) => {
        $crate::__checked!(@[$($arguments)*] [1 2 3 4 5 6 7] $e [$name $raw] $head $s $e $backend [$($done)* [sync [&mut] $metas $name $raw $output]] $($rest)*);
    };
    ($self:tt sync $e:tt $name:tt $raw:tt $($rest:tt)*) => {
        $crate::__fail!([$name $raw] "a method of a service takes `&self` or `&mut self` first");
    };
    ($self:tt async $e:tt $name:tt $raw:tt $($rest:tt)*) => {
        $crate::__fail!([$name $raw] "an `async fn` of a service takes `&self` first, since many calls run at the same time");
    };
    (@[] $left:tt $e:tt $at:tt $($service:tt)*) => {
        $crate::__service!($($service)*);
    };
    (@[$name:ident: & $(offspring::)? Events<$type:ty> $(,)?] $left:tt [] $at:tt $($service:tt)*) => {
        $crate::__fail!($at ::core::concat!(
            "this service has no events: declare their type behind the name of the client, `events = ", ::core::stringify!($type), "`"
        ));
    };
    (@[$name:ident: & $(offspring::)? Events<$type:ty> $(,)?] $left:tt $e:tt $at:tt $($service:tt)*) => {
        $crate::__service!($($service)*);
    };
    (@[$name:ident: & $($rest:tt)*] $left:tt $e:tt $at:tt $($service:tt)*) => {
        $crate::__fail!($at "the arguments of a method are owned, `String` for example; the caller may lend `&str`. Only `&Events<E>` may be the last");
    };
    (@[$name:ident: $type:ty $(, $($rest:tt)*)?] [] $e:tt $at:tt $($service:tt)*) => {
        $crate::__fail!($at "a method of a service has at most seven arguments; some may be a tuple or a struct");
    };
    (@[$name:ident: $type:ty $(, $($rest:tt)*)?] [$one:tt $($left:tt)*] $($service:tt)*) => {
        $crate::__checked!(@[$($($rest)*)?] [$($left)*] $($service)*);
    };
    (@$arguments:tt $left:tt $e:tt $at:tt $($service:tt)*) => {
        $crate::__fail!($at "an argument of a method is a name and a type: `word: String`");
    };
}

/// Expands to the client of a service, and to the dispatch of its methods in a child.
#[doc(hidden)]
#[macro_export]
macro_rules! __client {
    ([$vis:vis $trait:ident $client:ident] [$s:ty] [$e:ty] $backend:tt [$([$how:ident $self:tt $metas:tt $name:tt $arguments:tt $output:tt])*]) => {
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

/// Expands to the dispatch of a service's methods in a child that runs one call at a time, or in a concurrent child.
#[doc(hidden)]
#[macro_export]
macro_rules! __dispatch {
    ([] $trait:ident $state:ident [$s:ty] [$e:ty] [$([$how:ident $self:tt $name:tt $arguments:tt $output:tt])*]) => {
        #[allow(unused_mut)]
        fn serve(serving: $crate::__private::ServeContext<$e>, mut state: $state) -> i32 {
            serving.serve_sequentially(|request, events| match &*request.method::<$s>()? {
                $(::core::stringify!($name) => $crate::__method!(answer [request [$s] $trait $name $self state events $output] [] [] $arguments),)*
                other => ::core::result::Result::Err($crate::__private::no_method(other, &[$(::core::stringify!($name)),*])),
            })
        }
    };
    ([CONCURRENT] $trait:ident $state:ident [$s:ty] [$e:ty] [$([$how:ident $self:tt $name:tt $arguments:tt $output:tt])*]) => {
        const BACKEND: $crate::__private::Backend = $crate::__private::CONCURRENT;
        fn serve(serving: $crate::__private::ServeContext<$e>, state: $state) -> i32 {
            let state = &state;
            serving.serve_concurrently(&|request| match &*request.method::<$s>()? {
                $(::core::stringify!($name) => $crate::__method!(begin [request [$s] $trait $name $how $self state $output] [] [] $arguments),)*
                other => ::core::result::Result::Err($crate::__private::no_method(other, &[$(::core::stringify!($name)),*])),
            })
        }
    };
}

/// Expands to whether the format carries a type.
#[doc(hidden)]
#[macro_export]
macro_rules! __fits {
    ($s:ty, $type:ty) => {
        <$crate::__private::Fits<$crate::RawArgs<fn($type) -> $type>, $s, $type, $type>>::FITS
    };
}

/// Expands to the format if this is the first type that it does not carry, and to a format that carries everything otherwise.
#[doc(hidden)]
#[macro_export]
macro_rules! __suspect {
    ($service:ty, $s:ty, $method:expr, $part:expr) => {
        $crate::__private::IfFits<$s, {
            $crate::__private::is_unfit(<$service as $crate::ServiceTypes>::UNFIT, $method, $part)
        }>
    };
}

/// Expands a method of a service: parses its arguments and events, and then expands to the requested part.
#[doc(hidden)]
#[macro_export]
macro_rules! __method {
    (begin [$request:ident $s:tt $trait:ident $name:tt sync [&mut] $($rest:tt)*] [] [] $raw:tt) => {{
        $crate::__fail!([$name $raw] "all methods of a service with an `async fn` take `&self`, since many calls run at the same time");
        ::core::unreachable!()
    }};
    ($place:ident $method:tt [] [] (& $(mut)? self $(, $($arguments:tt)*)?)) => {
        $crate::__method! { $place $method [] [] [$($($arguments)*)?] }
    };
    ($place:ident $method:tt $done:tt [] [$name:ident: & $(offspring::)? Events<$events:ty> $(,)?]) => {
        $crate::__method! { $place $method $done [$name $events] [] }
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
    (fits [[$s:ty] $name:ident [$output:ty]] [$($argument:ident [$type:ty])*] $events:tt []) => {
        &[
            $((::core::stringify!($name), ::core::stringify!($argument), $crate::__fits!($s, ($type,))),)*
            (::core::stringify!($name), "", $crate::__fits!($s, $output)),
            (::core::stringify!($name), "()", $crate::__fits!($s, (::std::string::String, $($type,)*))),
        ]
    };
    (check [$trait:ident [$s:ty] $name:ident [$output:ty]] [$($argument:ident [$type:ty])*] $events:tt []) => {
        $(<$type as $crate::__private::Argument<$crate::__suspect!(dyn $trait, $s, ::core::stringify!($name), ::core::stringify!($argument))>>::CHECKED;)*
        <$output as $crate::__private::Outcome<$crate::__suspect!(dyn $trait, $s, ::core::stringify!($name), "")>>::CHECKED;
        <(::std::string::String, $($type,)*) as $crate::__private::Outcome<$crate::__suspect!(dyn $trait, $s, ::core::stringify!($name), "()")>>::CHECKED;
    };
    (answer [$request:ident [$s:ty] $trait:ident $name:ident [$($self:tt)*] $state:ident $events:ident [$output:ty]] [$($argument:ident [$type:ty])*] [$($ev:ident $ev_type:ty)?] []) => {
        {
            $request.answer::<fn(::std::string::String, $($type),*) -> $output, $s>(
                |(_, $($argument,)*)| $trait::$name($($self)* $state, $($argument,)* $({ let $ev = $events; $ev })?)
            )
        }
    };
    (begin [$request:ident [$s:ty] $trait:ident $name:ident $how:ident [&] $state:ident [$output:ty]] [$($argument:ident [$type:ty])*] [$($ev:ident $ev_type:ty)?] []) => {
        {
            $request.begin::<fn(::std::string::String, $($type),*) -> $output, $s>(
                async move |(_, $($argument,)*), events| {
                    let output = $trait::$name($state, $($argument,)* $({ let $ev = events; $ev })?);
                    $crate::__awaited!($how output)
                }
            )
        }
    };
}

/// Expands to the result of an `async` or a `sync` method.
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
