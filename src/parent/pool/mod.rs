//! Many children of one worker, and calls that are shared out among them.
//!
//! What is to be done is decided by the [`Scheduler`](scheduler::Scheduler), without
//! doing it; the [`Engine`] does it. [`CallState`](call::CallState) is one call on its
//! way, and handles reach the pool through [`PoolClient`](client::PoolClient). A pool
//! has single children, each a [`Member`](super::child::member::Member), as a user of
//! this crate could have them.

mod aside;
mod builder;
mod call;
mod client;
mod engine;
mod launcher;
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

/// Several children that run one worker: call it as if it were one.
///
/// It is used like the handle of a single child, and *is* one: it dereferences to
/// [`Rpc`], so `call`, `try_call`, `call_with` and [`ready`](Rpc::ready) are
/// there, and what takes an `&Rpc` takes an `&Pool`. To own the
/// handle, clone [`rpc`](Self::rpc).
///
/// Each call goes to the child with the least to do. Once all have
/// [`load`](PoolBuilder::load) calls, further calls wait in the pool, first come,
/// first served, and more children are started, up to
/// [`max`](PoolBuilder::max). Events of a call, callbacks, timeouts, cancelling
/// are as with one child; order is promised for what comes from one child.
///
/// **A child that dies is replaced.** Calls that it had not started move to
/// another child, in their old order. One that had started, or may have, fails,
/// and its error says how the child died; unless it may
/// [repeat](crate::Call::repeat). So no call is lost, and none runs twice unless
/// that was allowed. The pool keeps the bytes of a call until it is done, as
/// they may be needed once more.
///
/// When the last handle is dropped, the pool finishes all calls it was given,
/// also those that wait, and lets its children end; that goes on in the
/// background. [`join`](Self::join) waits for it.
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
/// # Threads
///
/// A pool has no thread to share out calls: the thread that reads an answer sends
/// the next call. For each kind of children there is a thread that starts them,
/// created by the thread that builds the pool. Another runs while there are
/// callbacks that belong to no child (`on_destroy`, failed starts, calls that no
/// child was given). What single children need is there, too: the helper,
/// and for each child with callbacks one thread for these.
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

/// Here for the reference: the methods for other numbers of arguments are those of [`Rpc`] alone.
impl<R: 'static, S, E, A1: 'static, A2: 'static> Pool<fn(A1, A2) -> R, S, E> {
    /// Calls the worker's function in one of the children, like [`Rpc::call`], with any number of arguments.
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
    /// Never blocks: a call for which no child is free is queued, without a bound.
    /// [`try_call`](Rpc::try_call) has one, [`PoolBuilder::max_queue`].
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
    /// The handle for calls, which keeps the pool open like the pool itself.
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

    /// How the pool is, and what it has done so far.
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
        self.engine.status()
    }

    /// Closes the pool for all its handles, and waits until all calls are done,
    /// also those that wait for a child, all children were reaped, and the last
    /// callback has returned.
    ///
    /// The status is that of the last child that did not end well when the pool
    /// was closing; else it is a success. With a limit, see [`Join::within`],
    /// what still waits for a child then fails, too.
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
