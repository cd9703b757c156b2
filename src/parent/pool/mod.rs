//! Many children of one worker, and the distribution of calls among them.
//!
//! The [`Scheduler`](scheduler::Scheduler) decides and returns actions. The [`Engine`] executes them.
//! [`PoolCall`](engine::PoolCall) is one call, and handles reach the pool through the traits of `parent/client.rs`. Each
//! child is a [`PoolChild`](super::child::pool_child::PoolChild), the same as a child outside a pool.

mod builder;
mod call;
mod engine;
mod kind;
mod scheduler;
mod status;

use std::ops::Deref;
use std::sync::Arc;

use offspring_serialisers::{SendAs, Serialiser};

pub use self::builder::PoolBuilder;
use self::engine::Engine;
pub use self::status::PoolStatus;
use super::handles::call::Call;
use super::handles::rpc::{Join, Rpc};

/// Several children that run one worker, used like a single child.
///
/// A pool dereferences to [`Rpc`]: it has `call`, `try_call`, `call_with` and [`ready`](Rpc::ready), and a function that
/// takes an `&Rpc` takes an `&Pool`. To own the handle, clone [`rpc`](Self::rpc).
///
/// Each call is sent to the child with the fewest calls. Once all children have [`load`](PoolBuilder::load) calls, further
/// calls wait in the pool, first in, first out, and more children are started, up to [`max`](PoolBuilder::max). Events of a
/// call, callbacks, timeouts and cancelling work as with a single child. Order is guaranteed only among the messages of one
/// child.
///
/// **A child that dies is replaced.** Calls that it had not started move to another child, in their old order. If five children
/// die when they receive the same call (its arguments need more memory than they may have, for example), it fails. A call that
/// had started, or may have, fails with an error that says how the child died, unless it may
/// [repeat](crate::Call::repeat). No call is lost, and none runs twice unless that was allowed. The pool keeps the bytes of
/// a call until it is done, because it may send them again.
///
/// After the last handle is dropped, the pool finishes all its calls in the background, queued calls included, and then
/// lets its children exit. [`join`](Self::join) waits for that. **The end of `main` does not**, and calls that have not run
/// by then may never run: call `join` before, unless all calls were waited for.
///
/// ```
/// # offspring::worker!(UPPER: fn(String) -> String = |text: String| text.to_uppercase());
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let pool = UPPER.pool().max(2).spawn()?;
/// let calls: Vec<_> = ["one", "two", "three"].map(|word| pool.call(word)).into();
/// for call in calls {
///     println!("{}", call.wait()?);
/// }
/// pool.join().wait()?;
/// # Ok(()) }
/// ```
///
/// # The type of a pool
///
/// A struct that owns a pool names the signature of its worker, and then the serialiser and the events, if these are declared:
///
/// ```
/// use offspring::{Pool, Service, service, worker};
///
/// service! {
///     trait Words => WordsClient {
///         fn count(&self, text: String) -> usize;
///     }
/// }
/// worker!(ADD: fn(i32, i32) -> i32 = |a: i32, b: i32| a + b);
/// worker!(WORDS: dyn Words, name = "words");
///
/// struct Pools {
///     add: Pool<fn(i32, i32) -> i32>, // with a format and events: `Pool<fn(i32, i32) -> i32, Cbor, Event>`
///     words: Pool<Service<dyn Words>>,
/// }
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// # let words = WORDS.program(std::process::Command::new("/nowhere/words")).pool().spawn()?;
/// # let pools = Pools { add: ADD.pool().spawn()?, words };
/// # assert_eq!(pools.add.call(1, 2).wait()?, 3);
/// # drop(pools.words); Ok(()) }
/// ```
///
/// # Threads
///
/// A pool has no thread that distributes calls: the thread that reads an answer sends the next call. Each kind of children
/// has a thread that starts them, created by the thread that builds the pool. Another thread runs while callbacks without a
/// child are pending (`on_destroy`, failed starts, calls that were given to no child). As without a pool, the reactor runs,
/// and each child with callbacks has a thread for them.
#[doc(alias = "AnyEvent::Fork::Pool")]
pub struct Pool<F, S = crate::Octets, E = crate::NoEvents> {
    rpc: Rpc<F, S, E>,
    engine: Arc<Engine>,
}

impl<F, S, E> Clone for Pool<F, S, E> {
    fn clone(&self) -> Self {
        Self {
            rpc: self.rpc.clone(),
            engine: Arc::clone(&self.engine),
        }
    }
}

impl<F, S, E> std::fmt::Debug for Pool<F, S, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pool").field(&self.status()).finish()
    }
}

impl<F, S, E> Deref for Pool<F, S, E> {
    type Target = Rpc<F, S, E>;

    fn deref(&self) -> &Rpc<F, S, E> {
        &self.rpc
    }
}

/// `call` for two arguments, repeated here for the reference. [`Rpc`] has it for other numbers of arguments.
impl<R: 'static, S, E, A1: 'static, A2: 'static> Pool<fn(A1, A2) -> R, S, E> {
    /// Calls the worker's function in a child, like [`Rpc::call`], with any number of arguments.
    ///
    /// ```
    /// # offspring::worker!(ADD: fn(i32, i32) -> i32 = |a: i32, b: i32| a + b);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = ADD.pool().max(2).spawn()?;
    /// let calls: Vec<_> = (0..10).map(|number| pool.call(number, 1)).collect();
    /// for (number, call) in calls.into_iter().enumerate() {
    ///     assert_eq!(call.wait()?, number as i32 + 1);
    /// }
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    ///
    /// Never blocks: if all children are busy, the call is queued, and the queue is unbounded.
    /// [`try_call`](Rpc::try_call) has a bound, [`PoolBuilder::max_queue`].
    pub fn call<X1, X2>(&self, a: X1, b: X2) -> Call<R, E>
    where
        X1: SendAs<A1>,
        X2: SendAs<A2>,
        S: Serialiser<(A1, A2), (X1::Form, X2::Form)> + Serialiser<R>,
    {
        self.rpc.call(a, b)
    }
}

impl<F, S, E> Pool<F, S, E> {
    /// Returns the handle for calls. A clone of it keeps the pool open, as a clone of the pool does.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// fn twice(rpc: &ECHO) -> Result<(), offspring::Error> {
    ///     rpc.call("a").wait()?;
    ///     rpc.call("b").wait().map(drop)
    /// }
    /// let pool = ECHO.pool().spawn()?;
    /// twice(&pool)?;
    /// let rpc = pool.rpc().clone();
    /// drop(pool);
    /// twice(&rpc)?;
    /// # rpc.join().wait()?; Ok(()) }
    /// ```
    #[must_use]
    pub fn rpc(&self) -> &Rpc<F, S, E> {
        &self.rpc
    }

    /// Returns the state of the pool and its counters.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = ECHO.pool().spawn()?;
    /// pool.call("so").wait()?;
    /// let status = pool.status();
    /// assert_eq!((status.answered, status.started, status.died), (1, 1, 0));
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        match self.rpc.is_here() {
            true => self.engine.status(),
            false => PoolStatus::default(),
        }
    }

    /// Closes the pool for all its handles, and waits until all calls are done, queued calls included, all children are
    /// reaped, and the last callback has returned.
    ///
    /// The status is that of the last child that failed while the pool was closing, or success if none did. With
    /// [`Join::within`], calls that are still queued at the limit fail, too.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = ECHO.pool().spawn()?;
    /// let call = pool.call("so");
    /// assert!(pool.join().wait()?.success());
    /// assert_eq!(call.wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn join(self) -> Join {
        self.rpc.join()
    }
}
