//! A call for each item of an iterator, with a window of calls in flight.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_core::Stream;
use offspring_serialisers::Serialiser;

use super::call::Call;
use super::rpc::Rpc;
use crate::base::sync::Mutex;
use crate::base::waker::{wake, waker};
use crate::error::Error;
use crate::parent::child::interface::{TimeLimit, WaitMode};
use crate::signature::{Signature, Takes};

/// Maximum of the default window.
const LARGEST: usize = 1024;

impl<F: Signature, S: Serialiser<F::Output>, E> Rpc<F, S, E> {
    /// Calls the worker's function with each item, and returns the results in the order of the items.
    ///
    /// An item is the argument of `call`, or a tuple of the arguments if the function has several or none. The result is a
    /// [`Stream`], and with [`IntoIterator`] an iterator that blocks. Each result is that of a single call: an error is in the
    /// place of its item, and the other calls are not affected.
    ///
    /// Items are taken only when the next result is requested. Then calls are made until a [`window`](Map::window) of them is in
    /// flight, and the first is waited for. Memory is therefore bounded, even with an endless input, and no thread is needed.
    ///
    /// A slow call delays the results behind it, and, once the window is full, leaves children idle. If order does not matter,
    /// [`map_unordered`](Self::map_unordered) avoids both.
    ///
    /// ```
    /// # offspring::worker!(LENGTH: fn(String) -> String = |text: String| text.len().to_string());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = LENGTH.pool().spawn()?;
    /// let words = ["a", "pool", "of", "children"];
    /// for (word, length) in words.iter().zip(pool.map(words)) {
    ///     println!("{word}: {}", length?);
    /// }
    /// let all: Result<Vec<_>, _> = pool.map(words).into_iter().collect();
    /// assert_eq!(all?, ["1", "4", "2", "8"]);
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn map<I: IntoIterator>(&self, items: I) -> Map<I::IntoIter, Self, F::Output, E>
    where
        F: Takes<I::Item, S>,
    {
        self.map_calls(
            items,
            Self::call_item as fn(&Self, I::Item) -> Call<F::Output, E>,
        )
    }

    /// Like [`map`](Self::map), and returns each result as soon as it has arrived. To know the item of a result, let the worker
    /// return it. An error does not name its item. If that is needed, use [`map`](Self::map), whose errors are in the place
    /// of their items.
    ///
    /// A single child that runs one call at a time answers in order, so `map` gives the same results with less work.
    ///
    /// ```
    /// # offspring::worker!(UPPER: fn(String) -> String = |text: String| text.to_uppercase());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use futures_lite::StreamExt;
    ///
    /// let pool = UPPER.pool().spawn()?;
    /// let mut all: Vec<String> = futures_lite::future::block_on(
    ///     pool.map_unordered(["one", "two", "three"]).try_collect::<_, _, Vec<_>>(),
    /// )?;
    /// all.sort();
    /// assert_eq!(all, ["ONE", "THREE", "TWO"]);
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn map_unordered<I: IntoIterator>(&self, items: I) -> Map<I::IntoIter, Self, F::Output, E>
    where
        F: Takes<I::Item, S>,
    {
        self.map_calls_unordered(
            items,
            Self::call_item as fn(&Self, I::Item) -> Call<F::Output, E>,
        )
    }

    fn call_item<X>(&self, item: X) -> Call<F::Output, E>
    where
        F: Takes<X, S>,
    {
        self.start(|output| F::encode(item, output))
    }
}

impl<F, S, E> Rpc<F, S, E> {
    /// Like [`map`](Self::map), and `call` makes the call of each item. For the methods of a [service](crate::service), and for
    /// calls with options.
    ///
    /// `call` gets this handle and the item, and returns the call. It may be the path of a method with one argument:
    /// `pool.map_calls(words, WordsClient::twice)`.
    ///
    /// ```
    /// use offspring::{service, worker};
    ///
    /// service! {
    ///     /// Works on words.
    ///     pub trait Words => WordsClient {
    ///         /// Repeats a word.
    ///         fn repeat(&self, word: String, times: u8) -> String;
    ///     }
    /// }
    /// struct Plain;
    /// impl Words for Plain {
    ///     fn repeat(&self, word: String, times: u8) -> String {
    ///         word.repeat(times.into())
    ///     }
    /// }
    /// worker!(WORDS: dyn Words = || Plain);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = WORDS.pool().spawn()?;
    /// let words = [("a", 2), ("b", 3)];
    /// let all = pool.map_calls(words, |words, (word, times)| words.repeat(word, times));
    /// assert_eq!(all.into_iter().collect::<Result<Vec<_>, _>>()?, ["aa", "bbb"]);
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn map_calls<I, R, C>(&self, items: I, call: C) -> Map<I::IntoIter, Self, R, E, C>
    where
        I: IntoIterator,
        C: FnMut(&Self, I::Item) -> Call<R, E>,
    {
        self.map_into(InFlight::Ordered(VecDeque::new()), items, call)
    }

    /// Like [`map_calls`](Self::map_calls), and returns each result as soon as it has arrived.
    ///
    /// ```
    /// # offspring::worker!(UPPER: fn(String) -> String = |text: String| text.to_uppercase());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use std::time::Duration;
    ///
    /// let pool = UPPER.pool().spawn()?;
    /// let lengths = [("a", 10), ("bc", 20)];
    /// let calls = pool.map_calls_unordered(lengths, |upper, (text, seconds)| {
    ///     upper.call(text).timeout(Duration::from_secs(seconds))
    /// });
    /// let mut all = calls.into_iter().collect::<Result<Vec<_>, _>>()?;
    /// all.sort();
    /// assert_eq!(all, ["A", "BC"]);
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn map_calls_unordered<I, R, C>(&self, items: I, call: C) -> Map<I::IntoIter, Self, R, E, C>
    where
        I: IntoIterator,
        C: FnMut(&Self, I::Item) -> Call<R, E>,
    {
        self.map_into(InFlight::Unordered(Unordered::default()), items, call)
    }

    fn map_into<I, R, C>(
        &self,
        calls: InFlight<R, E>,
        items: I,
        call: C,
    ) -> Map<I::IntoIter, Self, R, E, C>
    where
        I: IntoIterator,
        C: FnMut(&Self, I::Item) -> Call<R, E>,
    {
        Map {
            rpc: self.clone(),
            items: items.into_iter(),
            call,
            ended: false,
            window: self.client().window().min(LARGEST),
            calls,
        }
    }
}

/// The results of a call for each item: a [`Stream`], and with [`IntoIterator`] an iterator whose `next` blocks. From
/// [`Rpc::map`] and [`Rpc::map_unordered`].
///
/// It holds a handle of the child or pool. **Dropping it cancels the calls in flight**, as dropping a [`Call`] does. A panic of
/// the input unwinds the thread that requests a result. No more items are taken then, and the results of the calls in flight
/// can still be requested.
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// use std::time::Duration;
///
/// let rpc = ECHO.spawn()?;
/// // An endless input, from which items are taken as results are requested.
/// let numbers = (0..).map(|n| n.to_string());
/// let results = rpc.map(numbers).window(4).timeout(Duration::from_secs(60));
/// let first: Result<Vec<String>, _> = results.into_iter().take(3).collect();
/// assert_eq!(first?, ["0", "1", "2"]);
/// # Ok(()) }
/// ```
///
/// The type parameters are the items, the handle, the result and events of a call, and the function that makes the call of an
/// item.
#[must_use = "nothing is called before a result is asked for"]
pub struct Map<I, H, R, E = crate::NoEvents, C = fn(&H, <I as Iterator>::Item) -> Call<R, E>>
where
    I: Iterator,
{
    rpc: H,
    items: I,
    call: C,
    /// Whether no item follows: the input has ended, or it or `call` has panicked.
    ended: bool,
    window: usize,
    calls: InFlight<R, E>,
}

impl<I: Iterator, H, R, E, C> std::fmt::Debug for Map<I, H, R, E, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Map")
            .field("window", &self.window)
            .field("in_flight", &self.calls.len())
            .finish_non_exhaustive()
    }
}

/// No field is pinned.
impl<I: Iterator, H, R, E, C> Unpin for Map<I, H, R, E, C> {}

impl<I: Iterator, F, S, R, E, C> Map<I, Rpc<F, S, E>, R, E, C> {
    /// Sets the maximum number of calls in flight, at least 1. Results that were not taken yet count, too. Default for a pool: the
    /// number of calls that all its children may have ([`load`](crate::PoolBuilder::load) times
    /// [`max`](crate::PoolBuilder::max)), at most 1024. Default for a single child: 16.
    ///
    /// If calls take very different times, a larger window keeps children busy behind a slow call.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = ECHO.pool().spawn()?;
    /// let results = pool.map(["a", "b", "c"]).window(2);
    /// assert_eq!(results.into_iter().count(), 3);
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn window(mut self, calls: usize) -> Self {
        self.window = calls.max(1);
        self
    }

    /// Sets the timeout of each call, from when it is made, like [`Call::timeout`]. `None` removes it.
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(u64) = |s: u64| std::thread::sleep(std::time::Duration::from_secs(s)));
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use std::time::Duration;
    ///
    /// let pool = SLEEP.pool().max(2).on_error(|_| ()).spawn()?;
    /// let results = pool.map([u64::MAX, u64::MAX]).timeout(Duration::from_millis(20)).kill_on_cancel(true);
    /// for result in results {
    ///     assert!(result.unwrap_err().is_timeout());
    /// }
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn timeout(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.rpc.defaults.limit = time.into().map(TimeLimit::After);
        self
    }

    /// Sets the deadline of all calls: a call that is not done by `deadline` fails, as with [`Call::deadline`]. Replaces
    /// [`timeout`](Self::timeout), and is replaced by it.
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(u64) = |s: u64| std::thread::sleep(std::time::Duration::from_secs(s)));
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use std::time::{Duration, Instant};
    ///
    /// let rpc = SLEEP.spawn()?;
    /// let deadline = Instant::now() + Duration::from_millis(20);
    /// let results = rpc.map([0, u64::MAX, 0]).deadline(deadline).kill_on_cancel(true);
    /// let done = results.into_iter().map_while(Result::ok).count();
    /// assert!(done <= 1);
    /// # Ok(()) }
    /// ```
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.rpc.defaults.limit = Some(TimeLimit::At(deadline));
        self
    }

    /// Sets whether a child is killed when a call that it runs times out, or is cancelled by dropping this: see
    /// [`Call::kill_on_cancel`].
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(u64) = |s: u64| std::thread::sleep(std::time::Duration::from_secs(s)));
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = SLEEP.pool().max(2).on_error(|_| ()).spawn()?;
    /// let mut results = pool.map([0, u64::MAX]).kill_on_cancel(true).into_iter();
    /// results.next().expect("two items")?;
    /// drop(results); // and with it the child that sleeps
    /// assert!(pool.join().wait().is_ok());
    /// # Ok(()) }
    /// ```
    pub fn kill_on_cancel(mut self, kills: bool) -> Self {
        self.rpc.defaults.kill_on_cancel = kills;
        self
    }

    /// Allows each call to be run again, up to `times`, if its child dies: see [`Call::repeat`].
    ///
    /// ```
    /// # offspring::worker!(LENGTH: fn(String) -> usize = |text: String| text.len());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = LENGTH.pool().spawn()?;
    /// let results = pool.map(["a", "bc"]).repeat(2);
    /// assert_eq!(results.into_iter().collect::<Result<Vec<_>, _>>()?, [1, 2]);
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn repeat(mut self, times: u32) -> Self {
        self.rpc.defaults.repeats = times;
        self
    }
}

impl<I, H, R, E, C> Map<I, H, R, E, C>
where
    I: Iterator,
    C: FnMut(&H, I::Item) -> Call<R, E>,
{
    /// Makes calls until the window is full.
    fn fill(&mut self) {
        while !self.ended && self.calls.len() < self.window {
            self.ended = true;
            let Some(item) = self.items.next() else {
                return;
            };
            let call = (self.call)(&self.rpc, item);
            self.ended = false;
            self.calls.push(call);
        }
    }

    /// Takes items, and waits for the next result, or for the end.
    fn wait_for_result(&mut self, mode: WaitMode<'_>) -> Option<Option<Result<R, Error>>> {
        self.fill();
        match self.calls.len() {
            0 => Some(None),
            _ => self.calls.wait(mode).map(Some),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let in_flight = self.calls.len();
        if self.ended {
            return (in_flight, Some(in_flight));
        }
        let (least, most) = self.items.size_hint();
        let most = most.and_then(|most| most.checked_add(in_flight));
        (least.saturating_add(in_flight), most)
    }
}

impl<I, H, R, E, C> Stream for Map<I, H, R, E, C>
where
    I: Iterator,
    C: FnMut(&H, I::Item) -> Call<R, E>,
{
    type Item = Result<R, Error>;

    /// Polls for the next result. Takes items first, and blocks the thread if the input blocks.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let found = self.wait_for_result(WaitMode::Task(context.waker()));
        found.map_or(Poll::Pending, Poll::Ready)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.size_hint()
    }
}

impl<I, H, R, E, C> IntoIterator for Map<I, H, R, E, C>
where
    I: Iterator,
    C: FnMut(&H, I::Item) -> Call<R, E>,
{
    type Item = Result<R, Error>;
    type IntoIter = MapIter<I, H, R, E, C>;

    fn into_iter(self) -> MapIter<I, H, R, E, C> {
        MapIter(self)
    }
}

/// A blocking iterator over the results of a call for each item, from a [`Map`].
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let rpc = ECHO.spawn()?;
/// let mut results = rpc.map(["a", "b"]).into_iter();
/// assert_eq!(results.len(), 2);
/// assert_eq!(results.next().expect("the first")?, "a");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct MapIter<I, H, R, E = crate::NoEvents, C = fn(&H, <I as Iterator>::Item) -> Call<R, E>>(
    Map<I, H, R, E, C>,
)
where
    I: Iterator;

impl<I, H, R, E, C> Iterator for MapIter<I, H, R, E, C>
where
    I: Iterator,
    C: FnMut(&H, I::Item) -> Call<R, E>,
{
    type Item = Result<R, Error>;

    /// Takes items, and blocks until a result has arrived.
    fn next(&mut self) -> Option<Self::Item> {
        self.0.wait_for_result(WaitMode::Thread(None)).flatten()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<I, H, R, E, C> ExactSizeIterator for MapIter<I, H, R, E, C>
where
    I: ExactSizeIterator,
    C: FnMut(&H, I::Item) -> Call<R, E>,
{
}

impl<I, H, R, E, C> std::iter::FusedIterator for MapIter<I, H, R, E, C>
where
    I: Iterator,
    C: FnMut(&H, I::Item) -> Call<R, E>,
{
}

/// The calls in flight.
enum InFlight<R, E> {
    /// Results are taken in the order of the items.
    Ordered(VecDeque<Call<R, E>>),
    /// Results are taken in the order in which they arrive.
    Unordered(Unordered<R, E>),
}

impl<R, E> InFlight<R, E> {
    fn len(&self) -> usize {
        match self {
            Self::Ordered(queue) => queue.len(),
            Self::Unordered(calls) => calls.slots.len() - calls.free.len(),
        }
    }

    fn push(&mut self, call: Call<R, E>) {
        match self {
            Self::Ordered(queue) => queue.push_back(call),
            Self::Unordered(calls) => calls.push(call),
        }
    }

    /// Waits for the next result. There is one if a call is in flight.
    fn wait(&mut self, mode: WaitMode<'_>) -> Option<Result<R, Error>> {
        match self {
            Self::Ordered(queue) => {
                let result = queue.front_mut()?.wait_for_result(mode)?;
                queue.pop_front();
                Some(result)
            }
            Self::Unordered(calls) => loop {
                let result = calls.poll(mode);
                if result.is_some() || !mode.park() {
                    return result;
                }
            },
        }
    }
}

/// Calls whose results are taken in the order in which they arrive. Each has a slot, and the waker of its slot.
struct Unordered<R, E> {
    slots: Vec<(Option<Call<R, E>>, Waker)>,
    free: Vec<usize>,
    woken: Arc<Mutex<Woken>>,
}

#[derive(Default)]
struct Woken {
    /// The slots whose calls must be polled.
    slots: VecDeque<usize>,
    /// The waker of the thread or task that waits for a result.
    waker: Option<Waker>,
}

impl<R, E> Default for Unordered<R, E> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            woken: Arc::default(),
        }
    }
}

impl<R, E> Unordered<R, E> {
    fn push(&mut self, call: Call<R, E>) {
        let slot = self.free.pop().unwrap_or_else(|| self.add_slot());
        self.slots[slot].0 = Some(call);
        self.woken.lock().slots.push_back(slot);
    }

    fn add_slot(&mut self) -> usize {
        let (slot, woken) = (self.slots.len(), Arc::clone(&self.woken));
        let wake = move || {
            let mut woken = woken.lock();
            woken.slots.push_back(slot);
            let waker = woken.waker.take();
            drop(woken);
            waker.into_iter().for_each(wake);
        };
        self.slots.push((None, waker(wake)));
        slot
    }

    /// Polls the calls that were woken. If none has a result, what waits is woken with the next call.
    fn poll(&mut self, mode: WaitMode<'_>) -> Option<Result<R, Error>> {
        loop {
            let mut woken = self.woken.lock();
            let Some(slot) = woken.slots.pop_front() else {
                let old = woken.waker.replace(mode.waker());
                drop(woken);
                drop(old);
                return None;
            };
            drop(woken);
            let (call, waker) = &mut self.slots[slot];
            let Some(in_flight) = call else { continue };
            let found = in_flight.wait_for_result(WaitMode::Task(waker));
            if found.is_some() {
                *call = None;
                self.free.push(slot);
                return found;
            }
        }
    }
}
