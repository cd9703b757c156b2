//! The handle of a child.

use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use offspring_serialisers::{Input, Output, SendAs, Serialiser};

use super::call::{Call, Decode};
use super::connection::Connection;
use super::core::Core;
use super::driver::{Driver, Want};
use super::life::Ending;
use crate::error::{Error, ExitStatus};
use crate::protocol::HEADER;
use crate::signature::{Signature, Whole};
use crate::spare;

/// A child that runs one worker: call it.
///
/// It is cheap to clone, and may be used from any number of threads and tasks
/// at once. When the last clone is dropped, the child finishes the calls it was
/// given, answers them, and exits; that goes on in the background, as long as
/// this process lives. [`join`](Self::join) waits for it.
///
/// The type parameters are the signature, the serialiser and the events, as in
/// the declaration.
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let rpc = ECHO.spawn()?;
/// std::thread::scope(|scope| {
///     for n in 0..3 {
///         let rpc = rpc.clone();
///         scope.spawn(move || assert_eq!(rpc.call(n.to_string()).wait().unwrap(), n.to_string()));
///     }
/// });
/// # Ok(()) }
/// ```
pub struct Rpc<F, S, E = crate::NoEvents> {
    handle: Arc<Handle>,
    types: crate::Types<(F, S, E)>,
}

/// Closes the child when the last clone goes.
struct Handle {
    driver: Arc<Driver<Connection>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.driver.change(Core::close);
    }
}

impl<F, S, E> Clone for Rpc<F, S, E> {
    fn clone(&self) -> Self {
        Self {
            handle: Arc::clone(&self.handle),
            types: PhantomData,
        }
    }
}

impl<F, S, E> std::fmt::Debug for Rpc<F, S, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rpc")
            .field("pid", &self.pid())
            .finish_non_exhaustive()
    }
}

impl<F, S, E> Rpc<F, S, E> {
    pub(crate) fn new(driver: Arc<Driver<Connection>>) -> Self {
        Self {
            handle: Arc::new(Handle { driver }),
            types: PhantomData,
        }
    }

    fn driver(&self) -> &Arc<Driver<Connection>> {
        &self.handle.driver
    }

    /// The process that was started for this child: the child itself, or the
    /// command that leads to it. `None` for descriptors that were given.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.spawn()?;
    /// assert_ne!(rpc.pid(), Some(std::process::id()));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.driver().wire.pid()
    }

    /// Waits until the child has said hello and its `init` is done.
    ///
    /// Calls do not need it: they go out at once, and what keeps a child from
    /// getting ready is their error.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.spawn()?;
    /// rpc.ready().wait()?;
    /// # Ok(()) }
    /// ```
    #[must_use = "wait for it, or await it"]
    pub fn ready(&self) -> Ready {
        Ready {
            driver: Arc::clone(self.driver()),
        }
    }

    /// Closes the child for all clones, and waits until it has finished its
    /// calls, has exited and was reaped, and the last callback has returned.
    ///
    /// Calls made from now on fail. Without a [limit](Join::within) it may take
    /// as long as the calls do.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.spawn()?;
    /// let call = rpc.call("so");
    /// let status = rpc.join().wait()?;
    /// assert!(status.success());
    /// assert_eq!(call.wait()?, "so");
    /// # Ok(()) }
    /// ```
    #[must_use = "wait for it, or await it"]
    pub fn join(self) -> Join {
        self.driver().change(Core::close);
        Join {
            driver: Arc::clone(self.driver()),
        }
    }

    /// Kills the child with `SIGKILL`, now. Open calls fail; [`join`](Self::join)
    /// still tells how it ended. Without a process of ours the link is cut.
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(String) = |ms: String| {
    /// #     std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)))
    /// # });
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = SLEEP.spawn()?;
    /// let call = rpc.call("1000000");
    /// rpc.kill();
    /// let error = call.wait().unwrap_err();
    /// assert_eq!(error.crash().unwrap().status().signal(), Some(9));
    /// # Ok(()) }
    /// ```
    pub fn kill(&self) {
        self.driver()
            .change(|core| core.kill(Ending::Killed("it was killed by `kill`".into())));
    }

    fn start<R>(
        &self,
        encode: impl FnOnce(&mut Output<'_>) -> Result<(), offspring_serialisers::Error>,
    ) -> Call<R>
    where
        S: Serialiser<R>,
    {
        let decode: Decode<R> =
            |octets| S::decode(&mut Input::new(octets)).map_err(|error| Error::decode(&error));
        match self.send(encode) {
            Ok(id) => Call::open(self.driver(), id, decode),
            Err(error) => Call::failed(error, decode),
        }
    }

    fn send(
        &self,
        encode: impl FnOnce(&mut Output<'_>) -> Result<(), offspring_serialisers::Error>,
    ) -> Result<u32, Error> {
        with_frame(|frame| {
            let encoded = catch_unwind(AssertUnwindSafe(|| encode(&mut Output::new(frame))));
            encoded
                .unwrap_or_else(|panic| {
                    Err(offspring_serialisers::Error::new(crate::panic_text(
                        &*panic,
                    )))
                })
                .map_err(|error| Error::encode(&error))?;
            if frame.len() < HEADER {
                return Err(Error::encode(&offspring_serialisers::Error::new(
                    "the serialiser took octets away that were not its own",
                )));
            }
            let mut refused = None;
            let id = self.driver().call(|core| match core.call(frame) {
                Ok(id) => id,
                Err(error) => {
                    refused = Some(error);
                    0
                }
            });
            refused.map_or(Ok(id), Err)
        })
    }
}

/// Lends a buffer of this thread, with room for a header in front. A nested
/// use, in a value's own serialisation, gets another one.
fn with_frame<T>(use_it: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let mut frame = spare::take();
    frame.resize(HEADER, 0);
    let value = use_it(&mut frame);
    let used = frame.len();
    spare::put(frame, used);
    value
}

macro_rules! calls {
    ($($name:ident $form:ident $argument:ident),*) => {
        impl<R: 'static, S, Ev, $($name: 'static),*> Rpc<fn($($name),*) -> R, S, Ev> {
            /// Calls the worker's function in the child.
            ///
            /// Never blocks. The arguments are encoded at once, so borrowed
            /// ones (`&str` for a `String`, `&Path` for a `PathBuf`, `&[T]` for
            /// a `Vec<T>`) need not be copied. If the limits of what may be
            /// under way are reached, the octets wait their turn in the handle.
            ///
            /// All errors, also that the arguments could not be encoded, come
            /// through the handle.
            #[allow(clippy::too_many_arguments, reason = "one for each of the worker's")]
            pub fn call<$($form),*>(&self, $($argument: $form),*) -> Call<R>
            where
                $($form: SendAs<$name>,)*
                S: Serialiser<($($name,)*), ($($form::Form,)*)> + Serialiser<R>,
            {
                let arguments = ($($argument.into_form(),)*);
                self.start::<R>(|output| <S as Serialiser<($($name,)*), _>>::encode(&arguments, output))
            }
        }
    };
}
calls!();
calls!(A1 X1 a);
calls!(A1 X1 a, A2 X2 b);
calls!(A1 X1 a, A2 X2 b, A3 X3 c);
calls!(A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d);
calls!(A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e);
calls!(A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e, A6 X6 f);
calls!(A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e, A6 X6 f, A7 X7 g);
calls!(A1 X1 a, A2 X2 b, A3 X3 c, A4 X4 d, A5 X5 e, A6 X6 f, A7 X7 g, A8 X8 h);

impl<A: 'static, R: 'static, S, E> Rpc<Whole<fn(A) -> R>, S, E> {
    /// Calls the worker's function in the child with the whole array of
    /// arguments. See the `call` of other signatures.
    ///
    /// ```
    /// # fn words(mut words: Vec<String>) -> Vec<String> {
    /// #     words.reverse();
    /// #     words
    /// # }
    /// # offspring::worker!(WORDS: fn(..Vec<String>) -> Vec<String> = words);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = WORDS.spawn()?;
    /// assert_eq!(rpc.call(vec!["one".to_owned(), "two".to_owned()]).wait()?, ["two", "one"]);
    /// # Ok(()) }
    /// ```
    pub fn call<X>(&self, arguments: X) -> Call<R>
    where
        X: SendAs<A>,
        S: Serialiser<A, X::Form> + Serialiser<R>,
    {
        let arguments = arguments.into_form();
        self.start::<R>(|output| <S as Serialiser<A, _>>::encode(&arguments, output))
    }
}

impl<F: Signature, S, E> Rpc<F, S, E> {
    /// Calls the worker's function with the arguments as one value: for code
    /// that is generic over the signature.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.spawn()?;
    /// assert_eq!(rpc.call_with(&("so".to_owned(),)).wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn call_with(&self, arguments: &F::Arguments) -> Call<F::Output>
    where
        S: Serialiser<F::Arguments> + Serialiser<F::Output>,
    {
        self.start::<F::Output>(|output| <S as Serialiser<F::Arguments>>::encode(arguments, output))
    }
}

/// Waits until a child can work; from [`Rpc::ready`]. A future, too.
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let rpc = ECHO.spawn()?;
/// let mut ready = rpc.ready();
/// ready.wait_timeout(std::time::Duration::from_secs(60))?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "wait for it, or await it"]
pub struct Ready {
    driver: Arc<Driver<Connection>>,
}

/// Waits until a child is gone; from [`Rpc::join`]. A future, too.
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let rpc = ECHO.spawn()?;
/// let status = futures_lite::future::block_on(rpc.join())?;
/// assert!(status.success());
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "wait for it, or await it"]
pub struct Join {
    driver: Arc<Driver<Connection>>,
}

impl Join {
    /// Limits the wait: after `time` the child is told to end (`SIGTERM`), and
    /// a second later killed (`SIGKILL`). Its open calls fail then.
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(String) = |ms: String| {
    /// #     std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)))
    /// # });
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = SLEEP.spawn()?;
    /// let call = rpc.call("1000000");
    /// let status = rpc.join().within(std::time::Duration::from_millis(50)).wait()?;
    /// assert!(!status.success());
    /// assert!(call.wait().unwrap_err().is_child_dead());
    /// # Ok(()) }
    /// ```
    pub fn within(self, time: Duration) -> Self {
        // A time that no clock reaches is no limit.
        if let Some(at) = Instant::now().checked_add(time) {
            self.driver.change(|core| core.close_within(at));
        }
        self
    }
}

fn readiness(core: &mut Core) -> Option<Result<(), Error>> {
    core.life.readiness()
}

fn ended(core: &mut Core) -> Option<Result<ExitStatus, Error>> {
    let delivered = core.delivery.is_over() || core.delivery.is_running_here();
    core.life.outcome().filter(|_| delivered)
}

macro_rules! waits {
    ($type:ident, $take:ident, $value:ty) => {
        impl $type {
            /// Waits for it.
            ///
            /// # Blocking
            ///
            /// Blocks the thread, which meanwhile moves the octets of the calls
            /// of this child.
            ///
            /// # Errors
            ///
            /// What kept the child from working: the handshake, its `init`, a
            /// breach of the protocol.
            pub fn wait(self) -> Result<$value, Error> {
                let outcome = self.driver.wait(Want::Change, None, $take);
                outcome.expect("a wait without a deadline ends with what it waits for")
            }

            /// Waits for it, but no longer than `time`.
            ///
            /// # Errors
            ///
            /// As [`wait`](Self::wait); and once the time is up an error that
            /// [`is_timeout`](Error::is_timeout). It can be waited for again.
            pub fn wait_timeout(&mut self, time: Duration) -> Result<$value, Error> {
                let deadline = Instant::now().checked_add(time);
                self.driver
                    .wait(Want::Change, deadline, $take)
                    .unwrap_or_else(|| Err(Error::timed_out()))
            }

            /// Waits for it, but no longer than until `deadline`.
            ///
            /// # Errors
            ///
            /// As [`wait_timeout`](Self::wait_timeout).
            pub fn wait_deadline(&mut self, deadline: Instant) -> Result<$value, Error> {
                let outcome = self.driver.wait(Want::Change, Some(deadline), $take);
                outcome.unwrap_or_else(|| Err(Error::timed_out()))
            }
        }

        impl Future for $type {
            type Output = Result<$value, Error>;

            fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
                self.driver.poll(Want::Change, context, $take)
            }
        }
    };
}
waits!(Ready, readiness, ());
waits!(Join, ended, ExitStatus);

/// The events of a child, in its order: a [`Stream`], and by [`IntoIterator`]
/// an iterator whose `next` blocks. It ends when the child is gone.
///
/// From [`Builder::spawn_with_events`](crate::Builder::spawn_with_events). The
/// queue behind it is bounded: if it is not read, the child is slowed down, and
/// in the end answers do not come through either.
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
/// use futures_lite::StreamExt;
///
/// let (rpc, mut events) = COUNT.builder().spawn_with_events()?;
/// rpc.call("1").detach();
/// let first = futures_lite::future::block_on(events.next());
/// assert_eq!(first.expect("an event")?, "0");
/// # Ok(()) }
/// ```
pub struct EventStream<E> {
    driver: Arc<Driver<Connection>>,
    decode: DecodeEvent<E>,
}

/// How the octets of an event become one.
pub(crate) type DecodeEvent<E> = fn(&mut Input<'_>) -> Result<E, offspring_serialisers::Error>;

/// Turns the octets of an event into one. A decoder that panics is an error.
pub(crate) fn decode_event<E>(decode: DecodeEvent<E>, octets: &[u8]) -> Result<E, Error> {
    let decoded = catch_unwind(AssertUnwindSafe(|| decode(&mut Input::new(octets))));
    match decoded {
        Ok(event) => event.map_err(|error| Error::decode(&error)),
        Err(panic) => Err(Error::decode_panicked(crate::panic_text(&*panic))),
    }
}

impl<E> std::fmt::Debug for EventStream<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventStream")
    }
}

impl<E> EventStream<E> {
    pub(crate) fn new(driver: Arc<Driver<Connection>>, decode: DecodeEvent<E>) -> Self {
        Self { driver, decode }
    }
}

impl<E> Drop for EventStream<E> {
    fn drop(&mut self) {
        self.driver.change(|core| core.delivery.drop_stream());
    }
}

impl<E> Stream for EventStream<E> {
    type Item = Result<E, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.driver.poll(Want::Change, context, Core::next_event);
        polled.map(|event| event.map(|payload| decode_event(self.decode, &payload)))
    }
}

impl<E> IntoIterator for EventStream<E> {
    type Item = Result<E, Error>;
    type IntoIter = EventIter<E>;

    fn into_iter(self) -> EventIter<E> {
        EventIter(self)
    }
}

/// Waits for events, one after the other; from an [`EventStream`].
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
/// let (rpc, events) = COUNT.builder().spawn_with_events()?;
/// rpc.call("1").detach();
/// drop(rpc);
/// for event in events {
///     assert_eq!(event?, "0");
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct EventIter<E>(EventStream<E>);

impl<E> Iterator for EventIter<E> {
    type Item = Result<E, Error>;

    /// Blocks until an event comes, or until the child is gone.
    fn next(&mut self) -> Option<Self::Item> {
        let event = self.0.driver.wait(Want::Change, None, Core::next_event);
        event
            .flatten()
            .map(|payload| decode_event(self.0.decode, &payload))
    }
}
