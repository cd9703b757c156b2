//! The declaration of workers.

mod once;

use std::any::Any;
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::process::{Command, exit};

use offspring_serialisers::{Format, Octets, SendAs, Serialiser};

use crate::base::registry::{Named, WorkerEntry, origin_of};
use crate::child::{Child, Handshake};
use crate::error::Error;
use crate::message::Message;
use crate::parent::{Builder, PoolBuilder, Rpc, Template, WorkerInfo};
use crate::signature::{EventCodec, NoEvents};
use crate::sys::registrations;

/// A worker, declared by [`worker!`](crate::worker): a function with a name, types and a serialiser.
///
/// `F` is the signature, `S` the serialiser, `E` the type of the events, and `I` the signature of `init`.
///
/// ```
/// use offspring::{Octets, Worker, worker};
///
/// worker!(pub TRIM: fn(String) -> String = |text: String| text.trim().to_owned());
///
/// // `TRIM` is a static of this type.
/// fn use_it(worker: &'static Worker<fn(String) -> String, Octets>) -> Result<String, offspring::Error> {
///     worker.spawn()?.call(" so ").wait()
/// }
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// assert_eq!(use_it(&TRIM)?, "so");
/// # Ok(()) }
/// ```
pub struct Worker<F, S = Octets, E = NoEvents, I = fn()> {
    name: &'static str,
    declared: &'static Location<'static>,
    events: EventCodec<E, S>,
    /// `None` if it was declared without a function, which only another program has.
    entry: Option<Entry<F, S, E, I>>,
}

/// Runs the worker in a child. Returns the exit code.
type Entry<F, S, E, I> = fn(Child<F, S, E, I>) -> i32;

impl<F, S, E, I> std::fmt::Debug for Worker<F, S, E, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Worker({} at {})", self.name, self.declared)
    }
}

impl<F, S, E, I> Worker<F, S, E, I> {
    /// For the macro.
    #[doc(hidden)]
    #[track_caller]
    pub const fn new(
        name: &'static str,
        events: EventCodec<E, S>,
        entry: Option<Entry<F, S, E, I>>,
    ) -> Self {
        Self {
            name,
            declared: Location::caller(),
            events,
            entry,
        }
    }
}

impl<F, S: Format, E: 'static, I> Worker<F, S, E, I> {
    fn declared(&'static self) -> WorkerInfo {
        WorkerInfo {
            name: self.name,
            origin: origin_of(registrations(), self, self.name, self.declared),
            serialiser: S::NAME,
            function: self.entry.is_some().then_some(self as &dyn WorkerEntry),
        }
    }
}

impl<F, S: Format, E: Send + 'static> Worker<F, S, E, fn()> {
    /// Returns a builder with the options of a child, which starts it.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().exit_with_parent().spawn()?;
    /// # Ok(()) }
    /// ```
    pub fn builder(&'static self) -> Builder<F, S, E> {
        Builder::new(self.declared(), self.events.decode, Ok(Message::default()))
    }

    /// Starts a child that runs this program and worker, with the defaults of [`Builder`]. Like [`Builder::spawn`], blocks until the
    /// program is executed. [`builder().spawn_async()`](Builder::spawn_async) does not block.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.spawn()?;
    /// assert_eq!(rpc.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Builder::spawn`].
    #[doc(alias = "run")]
    pub fn spawn(&'static self) -> Result<Rpc<F, S, E>, Error> {
        self.builder().spawn()
    }

    /// Returns a builder of a [`Pool`](crate::Pool), whose children run this program and worker. For other children, use
    /// [`Builder::pool`]. Children inherit from the thread that calls [`PoolBuilder::spawn`](crate::PoolBuilder::spawn).
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = ECHO.pool().spawn()?;
    /// assert_eq!(pool.call("so").wait()?, "so");
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn pool(&'static self) -> PoolBuilder<F, S, E> {
        self.builder().pool()
    }

    /// Returns a builder with a handler of events: see [`Builder::on_event`].
    ///
    /// ```
    /// # fn count(to: String, events: &offspring::Events<String>) {
    /// #     for n in 0..to.parse().unwrap_or(0) {
    /// #         events.send(n.to_string()).expect("the parent runs");
    /// #     }
    /// # }
    /// # offspring::worker!(COUNT: fn(String) = count, events = String);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = COUNT.on_event(|event| println!("{event}")).spawn()?;
    /// rpc.call("2").wait()?;
    /// # Ok(()) }
    /// ```
    pub fn on_event(&'static self, handler: impl FnMut(E) + Send + 'static) -> Builder<F, S, E> {
        self.builder().on_event(handler)
    }

    /// Returns a builder that starts another program: see [`Builder::program`].
    ///
    /// ```no_run
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.program(std::process::Command::new("/usr/libexec/my-worker")).spawn()?;
    /// # Ok(()) }
    /// ```
    pub fn program(&'static self, command: Command) -> Builder<F, S, E> {
        self.builder().program(command)
    }

    /// Returns a builder that starts a command whose stdin and stdout lead to the worker: see [`Builder::command`].
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let cat = std::process::Command::new("cat");
    /// assert_eq!(ECHO.command(cat).plain().spawn()?.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn command(&'static self, command: Command) -> Builder<F, S, E> {
        self.builder().command(command)
    }

    /// Returns a builder that lets a template fork the child: see [`Builder::template`].
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let template = offspring::Template::builder().start()?;
    /// let rpc = ECHO.template(&template).spawn()?;
    /// assert_eq!(rpc.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    #[doc(alias = "fork")]
    pub fn template(&'static self, template: &Template) -> Builder<F, S, E> {
        self.builder().template(template)
    }
}

/// An `init` that takes nothing. No signature is one, because then the worker has the methods without this bound.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "this worker has an `init`, which takes arguments",
    label = "has an `init`",
    note = "begin with `.init(…)`, which takes the arguments and returns a `Builder`: `WORKER.init(…).spawn()`"
)]
pub trait NoArguments {}

macro_rules! inits {
    ($(#[$hidden:meta])? $($name:ident $form:ident $argument:ident),+) => {
        $(#[$hidden])?
        impl<Fun, S: Format, Ev: Send + 'static, $($name: 'static),*> Worker<Fun, S, Ev, fn($($name),*)> {
            /// Returns a builder with the arguments of the worker's `init`, which runs once in the child, before all calls.
            /// A worker with `init` can only be started with them. They are encoded at once.
            ///
            /// ```
            /// use offspring::worker;
            ///
            /// fn prefix(text: String) -> Result<String, std::convert::Infallible> {
            ///     Ok(text + ": ")
            /// }
            /// fn label(prefix: &mut String, text: String) -> String {
            ///     format!("{prefix}{text}")
            /// }
            /// worker!(LABEL: fn(String) -> String = label, init(String) = prefix);
            ///
            /// fn main() -> Result<(), offspring::Error> {
            ///     offspring::init();
            ///     let rpc = LABEL.init("note").spawn()?;
            ///     assert_eq!(rpc.call("so").wait()?, "note: so");
            ///     Ok(())
            /// }
            /// ```
            #[doc(alias = "send_arg")]
            #[doc(alias = "send_fh")]
            #[allow(clippy::too_many_arguments, reason = "one for each of init's")]
            pub fn init<$($form),*>(&'static self, $($argument: $form),*) -> Builder<Fun, S, Ev>
            where
                $($form: SendAs<$name>,)*
                S: Serialiser<($($name,)*), ($($form::Form,)*)>,
            {
                let arguments = ($($argument.into_form(),)*);
                let mut message = Message::new();
                let encoded = <S as Serialiser<($($name,)*), _>>::encode(&arguments, &mut message.output(true));
                Builder::new(self.declared(), self.events.decode, encoded.map(|()| message).map_err(|error| Error::encode("the arguments of `init`", error)))
            }

            #[doc(hidden)]
            pub fn builder(&'static self) -> Builder<Fun, S, Ev> where fn($($name),*): NoArguments {
                unreachable!()
            }

            #[doc(hidden)]
            pub fn spawn(&'static self) -> Result<Rpc<Fun, S, Ev>, Error> where fn($($name),*): NoArguments {
                unreachable!()
            }

            #[doc(hidden)]
            pub fn pool(&'static self) -> PoolBuilder<Fun, S, Ev> where fn($($name),*): NoArguments {
                unreachable!()
            }
        }
    };
}
inits!(A1 X1 a);
inits!(#[doc(hidden)] A1 X1 a, A2 X2 b);
inits!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c);
inits!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d);

impl<F, S, E, I> Worker<F, S, E, I> {
    /// Serves in this process: the complete `main` of a program that is a worker.
    ///
    /// The parent is at the other end of stdin and stdout, or of a socket on stdin if its hello says so. Both are moved to other
    /// descriptors first. Stdin then reads as empty, and if stdout was the link, prints go to stderr. Serves both forms of the
    /// protocol, depending on what arrives. Never returns: at the end of input the process exits with status 0.
    ///
    /// ```no_run
    /// offspring::worker!(ECHO: fn(String) -> String = |text: String| text, name = "echo");
    ///
    /// fn main() {
    ///     ECHO.serve()
    /// }
    /// ```
    pub fn serve(&'static self) -> ! {
        crate::startup::become_worker();
        match Handshake::from_program() {
            Ok(handshake) => exit(self.enter(handshake)),
            Err(early_exit) => exit(early_exit.code("")),
        }
    }

    fn enter(&'static self, handshake: Handshake) -> i32 {
        match self.entry {
            Some(entry) => entry(Child::new(handshake, self.name, self.events.encode)),
            None => handshake.refuse(&format!(
                "the worker `{}` is declared without a function in this program",
                self.name
            )),
        }
    }
}

impl<F, S, E, I> Named for Worker<F, S, E, I> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn origin(&self) -> String {
        self.declared.to_string()
    }
}

impl<F, S, E, I> WorkerEntry for Worker<F, S, E, I> {
    fn run(&'static self, handshake: Box<dyn Any>) -> i32 {
        let handshake = handshake.downcast().expect("`init` runs it with a session");
        self.enter(*handshake)
    }

    fn run_here(&'static self, link: OwnedFd) {
        match Handshake::from_thread(link) {
            Ok(handshake) => drop(self.enter(handshake)),
            Err(early_exit) => drop(early_exit.code("a worker's thread: ")),
        }
    }
}

/// Declares a worker: a function that children run, and that this program calls.
///
/// ```
/// use offspring::worker;
///
/// fn add(a: i32, b: i32) -> i32 {
///     a + b
/// }
///
/// worker!(
///     /// Adds two numbers.
///     pub ADD: fn(i32, i32) -> i32 = add
/// );
///
/// // The handle of a worker is the type of its name.
/// fn double(add: &ADD, number: i32) -> Result<i32, offspring::Error> {
///     add.call(number, number).wait()
/// }
///
/// fn main() -> Result<(), offspring::Error> {
///     offspring::init();
///     let rpc = ADD.spawn()?;
///     assert_eq!(rpc.call(3, 4).wait()?, 7);
///     assert_eq!(double(&rpc, 21)?, 42);
///     Ok(())
/// }
/// ```
///
/// Expands to a `static` of type [`Worker`], which [`init`](crate::init) finds, and to a type of the same name, the [`Rpc`] of
/// the worker. A reference to a [`Pool`](crate::Pool) of the worker coerces to a reference to that `Rpc`. A pool itself has no
/// short name: [`Pool`](crate::Pool#the-type-of-a-pool) shows how to write its type.
///
/// The function may be a closure with the types of its arguments. It captures no variable, since it runs in another process
/// ("attempt to use a non-constant value in a constant", says the compiler): pass the value as an argument, or to `init`.
///
/// By default, values are those of [`Octets`]: bytes, text, numbers, and a list or tuple of them. For any serde type, choose
/// another serialiser. These options may follow the function, in any order:
///
/// * `events = T`: the type of its events. The function may then take [`&Events<T>`](crate::Events) as its last argument.
/// * `serialiser = S`, or `serializer = S`. Default: [`Octets`].
/// * `init(A, B) = function`: a function that runs once before all calls, and returns `Result<State, impl Display>`. The
///   worker's function may then take `&mut State` as its first argument, or `&State` if it runs concurrently. The state is
///   dropped before the child exits.
/// * `done = function`: a `fn()` that the child calls when its parent is done and all calls are answered. The process exits when
///   it returns. Without it the process exits at once, even if the worker has tasks and timers.
/// * `max_running = number`: the maximum number of calls that run at the same time in a concurrent child. Default: 65,536, the
///   default limit of a parent's calls in flight. Further calls wait. No effect in a child that runs one call at a time.
/// * `runtime = function`: a `fn(`[`Server<'_>`](crate::Server)`)` that runs the server of a concurrent child: see below.
/// * `name = "…"`. Default: the module's path and the static's name. If parent and worker are different programs, they must have
///   the same name. Several workers of a program may have the same default name, such as those of two functions in a module.
///
/// # Many calls at once
///
/// With the feature `concurrent` the function may be an `async fn`, or take a `Responder` and answer later. The declaration is
/// the same. The child is then concurrent: it runs all its calls at the same time in a single thread, so a future need not be
/// [`Send`]. A call that blocks the thread delays all others. A panic, a future that never wakes, or a cancelled call, whose
/// future is dropped, does not affect other calls.
///
/// Timers and sockets of `async-io` and `smol` run in the same thread. The worker may spawn tasks (for example with
/// `smol::spawn`) and threads, which do not keep the child alive.
///
/// For tokio, or another runtime, `runtime` names a function that gets the child's [`Server`](crate::Server), a future, and runs
/// it to completion. Calls are polled inside this future, so the runtime's timers, sockets and tasks work in them.
/// [docs/runtimes.md](https://docs.rs/crate/offspring/latest/source/docs/runtimes.md) has each runtime, for parent and child.
/// The function is called after `init`, on the main thread. If it panics, or returns before it has polled the server, all calls
/// fail with that error. [`Server`](crate::Server) has an example.
///
/// The example `countdown` in the repository has a concurrent worker.
///
/// # The array of arguments
///
/// The signature `fn(..Vec<String>) -> R` takes any number of arguments, as an array.
///
/// # A worker of another program
///
/// Without `= function`, a worker is declared for a program that calls it and does not contain it. The allowed options are
/// `name`, `serialiser`, `events` and `init(A, B)`, with the same values as in the program that [serves](Worker::serve) it. The
/// names and the serialisers are compared at the start. The types of arguments, results, events and `init` are not: a
/// difference is an error of decoding, or goes unnoticed. Put a version into the name, and change it with the types. Such a
/// worker is started with [`program`](Worker::program) or [`command`](Worker::command), or reached over a socket.
/// [`spawn`](Worker::spawn) fails.
///
/// ```
/// use offspring::{Bytes, worker};
///
/// worker!(RESIZE: fn(Bytes, String) -> Bytes, name = "resize 2", init(String));
///
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let error = RESIZE.init("webp").spawn().unwrap_err();
/// assert!(error.to_string().contains("`resize 2`"));
/// // RESIZE.init("webp").program(Command::new("/usr/libexec/resize")).spawn()?
/// # Ok(()) }
/// ```
#[doc(alias = "serializer")]
#[doc(alias = "function")]
#[macro_export]
macro_rules! worker {
    ($(#[$meta:meta])* $vis:vis $name:ident: fn(..$whole:ty) $(-> $output:ty)? $(= $function:expr)? $(, $($options:tt)*)?) => {
        $crate::__worker!(
            @of [$(#[$meta])* $vis $name] [$crate::RawArgs<fn($whole) $(-> $output)?>, $whole, [$crate::__private::CarriedArray] $(-> $output)?]
            [$($function)?] $($($options)*)?
        );
    };
    ($(#[$meta:meta])* $vis:vis $name:ident: dyn $service:path $(= $make:expr)? $(, $($options:tt)*)?) => {
        $crate::__worker!(
            [$(#[$meta])* $vis $name [$crate::Service<dyn $service>]] [$($make)?]
            [::core::concat!(::core::module_path!(), "::", ::core::stringify!($name))]
            [<dyn $service as $crate::ServiceTypes>::Events, <dyn $service as $crate::ServiceTypes>::EVENTS, _]
            [<dyn $service as $crate::ServiceTypes>::Serialiser] [fn(), serve(), ()] []
            $($($options)*)?
        );
    };
    ($(#[$meta:meta])* $vis:vis $name:ident: $fn:tt $arguments:tt $($rest:tt)*) => {
        $crate::__arguments!($fn $arguments [1 2 3 4 5 6 7 8] [$name $arguments] [$(#[$meta])* $vis $name: $fn $arguments $($rest)*]);
    };
    ($(#[$meta:meta])* $vis:vis $name:ident: $($rest:tt)*) => {
        $crate::__declaration!($(#[$meta])* $vis $name: $($rest)*);
    };
}

/// Parses the declaration of a worker's function.
#[doc(hidden)]
#[macro_export]
macro_rules! __declaration {
    ($(#[$meta:meta])* $vis:vis $name:ident: $signature:ty $(= $function:expr)? $(, $($options:tt)*)?) => {
        $crate::__worker!(@of [$(#[$meta])* $vis $name] [$signature, $signature, [$crate::__private::Carried]] [$($function)?] $($($options)*)?);
    };
}

/// Checks that the arguments of a worker's function are owned, and not too many, and then expands to the declaration.
#[doc(hidden)]
#[macro_export]
macro_rules! __arguments {
    (fn ($argument:tt: $($rest:tt)*) $left:tt $at:tt $declaration:tt) => {
        $crate::__arguments!(fn ($($rest)*) $left $at $declaration);
    };
    (fn (& $($rest:tt)*) $left:tt $at:tt $declaration:tt) => {
        $crate::__fail!($at "the arguments in the signature of a worker are owned, `String` for example; the caller may lend `&str`");
    };
    (fn ($type:ty $(, $($rest:tt)*)?) [] $at:tt $declaration:tt) => {
        $crate::__fail!($at "a worker has at most eight arguments; some may be a tuple or a struct");
    };
    (fn ($type:ty $(, $($rest:tt)*)?) [$one:tt $($left:tt)*] $at:tt $declaration:tt) => {
        $crate::__arguments!(fn ($($($rest)*)?) [$($left)*] $at $declaration);
    };
    ($fn:tt $rest:tt $left:tt $at:tt [$($declaration:tt)*]) => {
        $crate::__declaration!($($declaration)*);
    };
}

/// Fails at the user's name and the parentheses behind it. The span of a macro's error is that of its call, so these are made
/// one. Names that the declaration lacks are no further errors, since the module has a macro that failed.
#[doc(hidden)]
#[macro_export]
macro_rules! __fail {
    ([$name:tt $arguments:tt] $message:expr) => {
        macro_rules! $name {
            $arguments => {
                ::core::compile_error!($message);
            };
        }
        $name! $arguments;
    };
}

/// Parses the options of a declaration one by one (name, events, serialiser, init, settings), and then expands to the static.
/// The last part of events and of `init` is the type that the serialiser must carry: the output again, if there are none.
#[doc(hidden)]
#[macro_export]
macro_rules! __worker {
    // With the check of the format, and the type where the compiler reports that it fails.
    (
        @of [$(#[$meta:meta])* $vis:vis $name:ident] [$signature:ty, $at:ty, [$($check:tt)*] $(-> $output:ty)?] $function:tt
        $($options:tt)*
    ) => {
        $crate::__worker!(
            [$(#[$meta])* $vis $name [$signature, $at, [$($check)*] $(-> $output)?]] $function
            [::core::concat!(::core::module_path!(), "::", ::core::stringify!($name))]
            [$crate::NoEvents, $crate::EventCodec::none(), <$signature as $crate::Signature>::Output] [$crate::Octets]
            [fn(), serve(), <$signature as $crate::Signature>::Output] []
            $($options)*
        );
    };
    ($head:tt $function:tt $name:tt $events:tt $serialiser:tt $init:tt $settings:tt name = $new:expr $(, $($rest:tt)*)?) => {
        $crate::__worker!($head $function [$new] $events $serialiser $init $settings $($($rest)*)?);
    };
    ($head:tt $function:tt $name:tt $events:tt $serialiser:tt $init:tt $settings:tt events = $new:ty $(, $($rest:tt)*)?) => {
        $crate::__worker!($head $function $name [$new, $crate::EventCodec::of(), $new] $serialiser $init $settings $($($rest)*)?);
    };
    ($head:tt $function:tt $name:tt $events:tt $serialiser:tt $init:tt $settings:tt serialiser = $new:ty $(, $($rest:tt)*)?) => {
        $crate::__worker!($head $function $name $events [$new] $init $settings $($($rest)*)?);
    };
    ($head:tt $function:tt $name:tt $events:tt $serialiser:tt $init:tt $settings:tt serializer = $($rest:tt)*) => {
        $crate::__worker!($head $function $name $events $serialiser $init $settings serialiser = $($rest)*);
    };
    ($head:tt $function:tt $name:tt $events:tt $serialiser:tt $init:tt $settings:tt init($($argument:ty),* $(,)?) $(= $new:expr)? $(, $($rest:tt)*)?) => {
        $crate::__worker!(
            $head $function $name $events $serialiser [fn($($argument),*), serve_with($($new)?), ($($argument,)*)] $settings
            $($($rest)*)?
        );
    };
    ($head:tt $function:tt $name:tt $events:tt $serialiser:tt $init:tt [$($settings:tt)*] done = $new:expr $(, $($rest:tt)*)?) => {
        $crate::__worker!($head $function $name $events $serialiser $init [$($settings)* .done($new)] $($($rest)*)?);
    };
    ($head:tt $function:tt $name:tt $events:tt $serialiser:tt $init:tt [$($settings:tt)*] max_running = $new:expr $(, $($rest:tt)*)?) => {
        $crate::__worker!($head $function $name $events $serialiser $init [$($settings)* .max_running($new)] $($($rest)*)?);
    };
    ($head:tt $function:tt $name:tt $events:tt $serialiser:tt $init:tt [$($settings:tt)*] runtime = $new:expr $(, $($rest:tt)*)?) => {
        $crate::__worker!($head $function $name $events $serialiser $init [$($settings)* .runtime($new)] $($($rest)*)?);
    };
    (
        [$(#[$meta:meta])* $vis:vis $static:ident $signature:tt] [$function:expr] $name:tt $events:tt $serialiser:tt
        [$init:ty, $serve:ident($($make:expr)?), $taken:ty] [$($settings:tt)*]
    ) => {
        $crate::__worker!(@checked [$(#[$meta])* $vis $static $signature] $name $events $serialiser [$init, $taken] [
            ::core::option::Option::Some(|child| {
                #[allow(unused_imports, reason = "each is looked for if none before it applies")]
                use $crate::__private::{ServedBlocking as _, ServedConcurrently as _, ServedSomehow as _};
                let function = $function;
                let way = (&&child.probe(&function)).way();
                way.of(child $($settings)*).$serve($($make,)? function)
            })
        ]);
        $crate::__register!($static);
    };
    // The function and its options are in another program.
    ($head:tt [] $name:tt $events:tt $serialiser:tt [$init:ty, $serve:ident(), $taken:ty] []) => {
        $crate::__worker!(@checked $head $name $events $serialiser [$init, $taken] [::core::option::Option::None]);
    };
    // The methods of a service are checked by `service!`.
    (@checked $head:tt $name:tt [$events:ty, $codec:expr, _] $serialiser:tt [$init:ty, $taken:ty] $entry:tt) => {
        $crate::__worker!(@static $head $name [$events, $codec] $serialiser [$init] $entry);
    };
    (
        @checked [$(#[$meta:meta])* $vis:vis $static:ident [$signature:ty, $at:ty, [$($check:tt)*] $(-> $output:ty)?]] $name:tt
        [$events:ty, $codec:expr, $event:ty] [$serialiser:ty] [$init:ty, $taken:ty] $entry:tt
    ) => {
        #[cfg(not(doc))]
        $crate::__worker!(@static [$(#[$meta])* $vis $static [$signature]] $name [$events, $codec] [
            $crate::__private::IfFits<$serialiser, {
                #[allow(unused_imports, reason = "it is looked for if there is no other")]
                use $crate::__private::Otherwise as _;
                <$crate::__private::Fits<$signature, $serialiser, $event, $taken>>::FITS
            }>
        ] [$init] $entry);
        // rustdoc shows the declared serialiser.
        #[cfg(doc)]
        $crate::__worker!(@static [$(#[$meta])* $vis $static [$signature]] $name [$events, $codec] [$serialiser] [$init] $entry);
        const _: () = <$at as $($check)*<$serialiser, $event, $taken $(, $output)?>>::CHECKED;
    };
    (
        @static [$(#[$meta:meta])* $vis:vis $static:ident [$signature:ty]] [$name:expr] [$events:ty, $codec:expr]
        [$serialiser:ty] [$init:ty] [$entry:expr]
    ) => {
        $(#[$meta])*
        $vis static $static: $crate::Worker<$signature, $serialiser, $events, $init> =
            $crate::Worker::new($name, $codec, $entry);
        #[doc = ::core::concat!("The handle of a child, or a pool, that runs [`", ::core::stringify!($static), "`](static@", ::core::stringify!($static), ").")]
        #[allow(dead_code, non_camel_case_types, reason = "it is for signatures, and has the name of the worker")]
        $vis type $static = $crate::Rpc<$signature, $serialiser, $events>;
    };
    ($head:tt $function:tt $name:tt $events:tt $serialiser:tt $init:tt $settings:tt $option:ident $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "`", ::core::stringify!($option), "` is no option of `worker!`, or not written so; the options are \
            `serialiser = S`, `events = E`, `init(A, B) = function`, `done = function`, `max_running = number`, \
            `runtime = function`, `name = \"…\"`"
        ));
    };
    ($head:tt [] $($rest:tt)*) => {
        ::core::compile_error!("a worker that only another program has is given no function for `init`, and no `done`, `max_running` or `runtime`");
    };
}
