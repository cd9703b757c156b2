//! Declaring workers.

mod once;

use std::any::Any;
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::process::{Command, exit};

use offspring_serialisers::{Format, Octets, SendAs, Serialiser};

use crate::base::registry::{Declaration, Registered, origin_of};
use crate::child::{Child, Session};
use crate::error::Error;
use crate::parcel::Parcel;
use crate::parent::{Builder, Declared, PoolBuilder, Rpc, Template};
use crate::signature::{EventCodec, NoEvents};
use crate::sys::registrations;

/// A worker, as declared by [`worker!`](crate::worker): a function with its
/// name, its types and its serialiser.
///
/// `F` is the signature, `S` the serialiser, `E` the type of its events, `I` the
/// signature of its `init`.
///
/// ```
/// use offspring::{Octets, Worker, worker};
///
/// worker!(pub TRIM: fn(String) -> String = |text: String| text.trim().to_owned());
///
/// // It is a static; where it is named, its type is
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
    /// `None` if only another program has the function.
    entry: Option<Entry<F, S, E, I>>,
}

/// What a declaration does with a child.
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
    fn declared(&'static self) -> Declared {
        Declared {
            name: self.name,
            origin: origin_of(registrations(), self, self.name, self.declared),
            serialiser: S::NAME,
            function: self.entry.is_some().then_some(self as &dyn Registered),
        }
    }
}

impl<F, S: Format, E: Send + 'static> Worker<F, S, E, fn()> {
    /// Says how the child is to be started and what becomes of its events, and
    /// then starts it.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().exit_with_parent().spawn()?;
    /// # Ok(()) }
    /// ```
    pub fn builder(&'static self) -> Builder<F, S, E> {
        Builder::new(self.declared(), self.events.decode, Ok(Parcel::default()))
    }

    /// Starts a child of this program that runs this worker, with the defaults
    /// of [`Builder`]. Blocks until the program is executed, as [`Builder::spawn`];
    /// [`builder().spawn_async()`](Builder::spawn_async) is a future.
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
    pub fn spawn(&'static self) -> Result<Rpc<F, S, E>, Error> {
        self.builder().spawn()
    }

    /// Says how a [`Pool`](crate::Pool) of children of this program works, which
    /// run this worker. Other kinds of children: [`Builder::pool`]. Children
    /// inherit from the thread that builds the pool:
    /// [`PoolBuilder::spawn`](crate::PoolBuilder::spawn).
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

    /// A builder with a handler of events: see [`Builder::on_event`].
    ///
    /// ```
    /// # fn count(to: String, events: &offspring::Events<String>) {
    /// #     for n in 0..to.parse().unwrap_or(0) {
    /// #         events.send(n.to_string()).expect("the parent is there");
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

    /// A builder that starts another program: see [`Builder::program`].
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

    /// A builder that starts a command whose stdin and stdout lead to the
    /// worker: see [`Builder::command`].
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

    /// A builder that has a template fork the child: see [`Builder::template`].
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
    pub fn template(&'static self, template: &Template) -> Builder<F, S, E> {
        self.builder().template(template)
    }
}

macro_rules! inits {
    ($(#[$hidden:meta])? $($name:ident $form:ident $argument:ident),+) => {
        $(#[$hidden])?
        impl<Fun, S: Format, Ev: Send + 'static, $($name: 'static),*> Worker<Fun, S, Ev, fn($($name),*)> {
            /// The arguments of the worker's `init`, which runs once in the
            /// child, before all calls. Without them such a worker cannot be
            /// started. They are encoded at once.
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
            #[allow(clippy::too_many_arguments, reason = "one for each of init's")]
            pub fn init<$($form),*>(&'static self, $($argument: $form),*) -> Builder<Fun, S, Ev>
            where
                $($form: SendAs<$name>,)*
                S: Serialiser<($($name,)*), ($($form::Form,)*)>,
            {
                let arguments = ($($argument.into_form(),)*);
                let mut parcel = Parcel::new();
                let encoded = <S as Serialiser<($($name,)*), _>>::encode(&arguments, &mut parcel.output(true));
                Builder::new(self.declared(), self.events.decode, encoded.map(|()| parcel).map_err(|error| Error::encode("the arguments of `init`", error)))
            }
        }
    };
}
inits!(A1 X1 a);
inits!(#[doc(hidden)] A1 X1 a, A2 X2 b);
inits!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c);
inits!(#[doc(hidden)] A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d);

impl<F, S, E, I> Worker<F, S, E, I> {
    /// Serves in this process: the whole `main` of a program that is a worker.
    ///
    /// The parent is at the other end of stdin and stdout (or of a socket on
    /// stdin, if it says so). Both are moved away first: what the worker reads
    /// from stdin is empty, and what it prints over the link's stdout goes to
    /// stderr. Either form of the protocol is served, by what arrives. Never
    /// returns: at the end of input the process exits with status 0.
    ///
    /// ```no_run
    /// offspring::worker!(ECHO: fn(String) -> String = |text: String| text, name = "echo");
    ///
    /// fn main() {
    ///     ECHO.serve()
    /// }
    /// ```
    pub fn serve(&'static self) -> ! {
        crate::startup::go_to_work();
        match Session::of_program() {
            Ok(session) => exit(self.enter(session)),
            Err(stop) => exit(stop.code("", 2)),
        }
    }

    fn enter(&'static self, session: Session) -> i32 {
        match self.entry {
            Some(entry) => entry(Child::new(session, self.name, self.events.encode)),
            None => session.refuse(&format!(
                "the worker `{}` is declared without a function in this program",
                self.name
            )),
        }
    }
}

impl<F, S, E, I> Declaration for Worker<F, S, E, I> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn origin(&self) -> String {
        self.declared.to_string()
    }
}

impl<F, S, E, I> Registered for Worker<F, S, E, I> {
    fn run(&'static self, session: Box<dyn Any>) -> i32 {
        let session = session.downcast().expect("`init` runs it with a session");
        self.enter(*session)
    }

    fn run_here(&'static self, link: OwnedFd) {
        match Session::of_thread(link) {
            Ok(session) => drop(self.enter(session)),
            Err(stop) => drop(stop.code("a worker's thread: ", 1)),
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
/// Expands to a `static` of type [`Worker`], which [`init`](crate::init) finds, and to a type of the same name: the
/// [`Rpc`] of the worker. A reference to a [`Pool`](crate::Pool) of it is one to an `Rpc`, too.
///
/// Instead of a named function a closure may stand, with the types of its arguments. Values are what
/// [`Octets`](crate::Octets) carries: bytes, text, numbers, and one list or tuple of them. All types of serde need another
/// serialiser. After the function may follow, in any order:
///
/// * `events = T`: the type of its events. The function then may take
///   [`&Events<T>`](crate::Events) as its last argument.
/// * `serialiser = S`: instead of [`Octets`](crate::Octets); `serializer` is the same.
/// * `init(A, B) = function`: runs once before all calls, and returns
///   `Result<State, impl Display>`; the function may then take `&mut State` as
///   its first argument (`&State` if it runs concurrently). The state is dropped
///   before the child exits.
/// * `done = function`: a `fn()` that the child calls when its parent is done and
///   everything is answered; when it returns, the process exits. Without it the
///   process exits at once, whatever tasks and timers the worker has left.
/// * `max_running = number`: so many calls run at once in a child at most, 65,536
///   if nothing is said (as many as a parent sends by itself); the others wait
///   their turn. Without meaning where only one does.
/// * `runtime = function`: what runs the server of such a child, a
///   `fn(`[`Server<'_>`](crate::Server)`)`: see below.
/// * `name = "…"`: instead of the module's path and the static's name. A parent
///   and a worker that are different programs must agree on it. In one program
///   workers may share a name: those of two functions in a module do.
///
/// # Many calls at once
///
/// With the feature `concurrent` the function may be an `async fn`, or take a
/// `Responder` and answer later; the declaration is the same. The child then runs
/// all its calls at once, in one thread: a future need not be [`Send`]. Whoever
/// blocks that thread holds up the others. A panic, a future that never wakes, a
/// cancelled call (its future is dropped where it stands) are that call's affair.
///
/// Timers and sockets of `async-io` and `smol` run in the same thread; tasks that
/// the worker spawns (`smol::spawn`, say) and threads of its own are welcome, and
/// do not keep the child alive.
///
/// For tokio, or another runtime, `runtime` names a function that is given the
/// child's [`Server`](crate::Server), a future, and runs it to its end. The calls are polled
/// in it, on the thread that polls it, so its timers, sockets and tasks work in
/// them; [docs/runtimes.md](https://docs.rs/crate/offspring/latest/source/docs/runtimes.md)
/// has each runtime, at either end. The function is called after `init`, on the
/// main thread. If it panics or returns before it has polled the server, that is
/// the error of all calls.
///
/// ```
/// # #[cfg(feature = "concurrent")]
/// # mod workers {
/// use std::time::Duration;
///
/// fn on_tokio(server: offspring::Server<'_>) {
///     let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
///     tokio.expect("a runtime").block_on(server)
/// }
///
/// async fn nap(text: String) -> String {
///     tokio::time::sleep(Duration::from_millis(10)).await;
///     text
/// }
/// offspring::worker!(pub NAP: fn(String) -> String = nap, runtime = on_tokio);
/// # }
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// # #[cfg(feature = "concurrent")]
/// assert_eq!(workers::NAP.spawn()?.call("so").wait()?, "so");
/// # Ok(()) }
/// ```
///
/// The front page of the crate, and the example `countdown`, show one at work.
///
/// # The array of arguments
///
/// In the signature, `fn(..Vec<String>) -> R` takes the array of arguments
/// whole, any number of them.
///
/// # A worker of another program
///
/// Without `= function` only the declaration is here: for a program that calls a
/// worker, and does not contain it. Of the options `name`, `serialiser`, `events`
/// and `init(A, B)` can be given then, as in the program that
/// [serves](Worker::serve) it. Both are compared at the start, so a name with a
/// version in it tells programs of different versions apart. Such a worker is
/// started by [`program`](Worker::program) or [`command`](Worker::command), or
/// reached over a socket; to [`spawn`](Worker::spawn) it in this program is an
/// error.
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
#[macro_export]
macro_rules! worker {
    ($(#[$meta:meta])* $vis:vis $name:ident: fn(..$whole:ty) $(-> $output:ty)? $(= $function:expr)? $(, $($options:tt)*)?) => {
        $crate::worker!($(#[$meta])* $vis $name: $crate::Whole<fn($whole) $(-> $output)?> $(= $function)? $(, $($options)*)?);
    };
    ($(#[$meta:meta])* $vis:vis $name:ident: dyn $service:path $(= $make:expr)? $(, $($options:tt)*)?) => {
        $crate::__worker!(
            [$(#[$meta])* $vis $name [$crate::Service<dyn $service>]] [$($make)?]
            [::core::concat!(::core::module_path!(), "::", ::core::stringify!($name))]
            [<dyn $service as $crate::Methods>::Events, <dyn $service as $crate::Methods>::EVENTS, _]
            [<dyn $service as $crate::Methods>::Serialiser] [fn(), serve(), ()] []
            $($($options)*)?
        );
    };
    ($(#[$meta:meta])* $vis:vis $name:ident: $signature:ty $(= $function:expr)? $(, $($options:tt)*)?) => {
        $crate::__worker!(
            [$(#[$meta])* $vis $name [$signature]] [$($function)?]
            [::core::concat!(::core::module_path!(), "::", ::core::stringify!($name))]
            [$crate::NoEvents, $crate::EventCodec::none(), <$signature as $crate::Signature>::Output] [$crate::Octets]
            [fn(), serve(), <$signature as $crate::Signature>::Output] []
            $($($options)*)?
        );
    };
}

/// The options of a declaration, one after the other: name, events, serialiser, init, settings; and then the static.
/// The last of events and of `init` is what the serialiser must carry: the output again, if there are none.
#[doc(hidden)]
#[macro_export]
macro_rules! __worker {
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
                #[allow(unused_imports, reason = "the second is looked for if the first does not apply")]
                use $crate::__private::{ServedBlocking as _, ServedSomehow as _};
                let function = $function;
                let way = (&child.probe(&function)).way();
                child $($settings)* .$serve($($make,)? way, function)
            })
        ]);
        $crate::__register!($static);
    };
    // Another program has the function, and what belongs to it.
    ($head:tt [] $name:tt $events:tt $serialiser:tt [$init:ty, $serve:ident(), $taken:ty] []) => {
        $crate::__worker!(@checked $head $name $events $serialiser [$init, $taken] [::core::option::Option::None]);
    };
    // The methods of a service have checks of their own.
    (@checked $head:tt $name:tt [$events:ty, $codec:expr, _] $serialiser:tt [$init:ty, $taken:ty] $entry:tt) => {
        $crate::__worker!(@static $head $name [$events, $codec] $serialiser [$init] $entry);
    };
    (
        @checked [$(#[$meta:meta])* $vis:vis $static:ident [$signature:ty]] $name:tt [$events:ty, $codec:expr, $event:ty]
        [$serialiser:ty] [$init:ty, $taken:ty] $entry:tt
    ) => {
        #[cfg(not(doc))]
        $crate::__worker!(@static [$(#[$meta])* $vis $static [$signature]] $name [$events, $codec] [
            $crate::__private::IfFits<$serialiser, {
                #[allow(unused_imports, reason = "it is looked for if there is no other")]
                use $crate::__private::Otherwise as _;
                <$crate::__private::Fits<$signature, $serialiser, $event, $taken>>::FITS
            }>
        ] [$init] $entry);
        // Documentation shows the serialiser that was declared.
        #[cfg(doc)]
        $crate::__worker!(@static [$(#[$meta])* $vis $static [$signature]] $name [$events, $codec] [$serialiser] [$init] $entry);
        const _: () = <$signature as $crate::__private::Carried<$serialiser, $event, $taken>>::CHECKED;
    };
    (
        @static [$(#[$meta:meta])* $vis:vis $static:ident [$signature:ty]] [$name:expr] [$events:ty, $codec:expr]
        [$serialiser:ty] [$init:ty] [$entry:expr]
    ) => {
        $(#[$meta])*
        $vis static $static: $crate::Worker<$signature, $serialiser, $events, $init> =
            $crate::Worker::new($name, $codec, $entry);
        #[doc = ::core::concat!("The handle of a child, or a pool, that runs [`", ::core::stringify!($static), "`](static@", ::core::stringify!($static), ").")]
        #[allow(dead_code, non_camel_case_types, reason = "it is there for signatures, and has the name of the worker")]
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
