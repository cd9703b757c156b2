//! A call for each item of an iterator, with a window of calls in flight.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use futures_core::Stream;
use offspring_serialisers::Serialiser;

use super::call::Call;
use super::rpc::Rpc;
use crate::base::sync::{Mutex, park_until};
use crate::base::waker::{this_thread, waker};
use crate::error::Error;
use crate::parent::child::terms::Limit;
use crate::signature::{Signature, Takes};

/// The largest window that is chosen without being asked for.
const LARGEST: usize = 1024;

impl<F: Signature, S: Serialiser<F::Output>, E> Rpc<F, S, E> {
    /// Calls the worker's function with each item, and gives the results in the order of the items.
    ///
    /// An item is what `call` takes: one argument; or a tuple, if the function has several or none. The result is a
    /// [`Stream`], and by [`IntoIterator`] an iterator that blocks. Each result is that of one call, so an error is in the
    /// place of its item, and the rest goes on.
    ///
    /// Items are taken only when a result is asked for. Then calls are made until a [`window`](Map::window) of them is
    /// under way, and the first is waited for. So memory is bounded, also with an endless input, and there is no thread:
    /// while nothing is asked for, nothing is taken.
    ///
    /// A slow call holds up the results behind it, and once the window is full, the children, too: where order does not
    /// matter, [`map_unordered`](Self::map_unordered) has neither.
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
    pub fn map<I: IntoIterator>(&self, items: I) -> Map<I::IntoIter, F, S, E>
    where
        F: Takes<I::Item, S>,
    {
        Map::new(self, items.into_iter(), UnderWay::Queue(VecDeque::new()))
    }

    /// Like [`map`](Self::map), but gives each result as soon as it is there. To know whose it is, have the worker return
    /// what tells.
    ///
    /// A child that runs one call at a time answers in order, so of a single one `map` gives the same, with less work.
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
    pub fn map_unordered<I: IntoIterator>(&self, items: I) -> Map<I::IntoIter, F, S, E>
    where
        F: Takes<I::Item, S>,
    {
        Map::new(self, items.into_iter(), UnderWay::Crowd(Crowd::default()))
    }
}

/// The results of a call for each item: a [`Stream`], and by [`IntoIterator`] an iterator whose `next` blocks. From
/// [`Rpc::map`] and [`Rpc::map_unordered`].
///
/// It holds a handle of the child or pool. **Dropping it cancels the calls that are under way**, as dropping a
/// [`Call`] does. If the input panics, the panic goes to the thread that asked for a result; then no more is taken, and the results
/// of the calls that are under way can still be had.
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// use std::time::Duration;
///
/// let rpc = ECHO.spawn()?;
/// // An endless input: no more is taken than is asked for.
/// let numbers = (0..).map(|n| n.to_string());
/// let results = rpc.map(numbers).window(4).timeout(Duration::from_secs(60));
/// let first: Result<Vec<String>, _> = results.into_iter().take(3).collect();
/// assert_eq!(first?, ["0", "1", "2"]);
/// # Ok(()) }
/// ```
#[must_use = "nothing is called before a result is asked for"]
pub struct Map<I, F: Signature, S = crate::Octets, E = crate::NoEvents> {
    rpc: Rpc<F, S, E>,
    items: I,
    /// There are no more items, or taking one has panicked.
    ended: bool,
    window: usize,
    calls: UnderWay<F::Output, E>,
}

impl<I, F: Signature, S, E> std::fmt::Debug for Map<I, F, S, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Map")
            .field("window", &self.window)
            .field("under_way", &self.calls.len())
            .finish_non_exhaustive()
    }
}

/// Nothing in it is pinned.
impl<I, F: Signature, S, E> Unpin for Map<I, F, S, E> {}

impl<I, F: Signature, S, E> Map<I, F, S, E> {
    fn new(rpc: &Rpc<F, S, E>, items: I, calls: UnderWay<F::Output, E>) -> Self {
        Self {
            window: rpc.origin().window().min(LARGEST),
            rpc: rpc.clone(),
            items,
            ended: false,
            calls,
        }
    }

    /// Sets how many calls are in flight at most, at least 1; results that were not taken yet count as well. Default: as many
    /// as all children of a pool together may have ([`load`](crate::PoolBuilder::load) times
    /// [`max`](crate::PoolBuilder::max)), but no more than 1024; 16 for a single child.
    ///
    /// For calls of very different length more than that keeps children busy behind a slow one.
    pub fn window(mut self, calls: usize) -> Self {
        self.window = calls.max(1);
        self
    }

    /// Limits each call, from when it is made, as [`Call::timeout`] does. With `None` there is no limit.
    pub fn timeout(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.rpc.defaults.limit = time.into().map(Limit::After);
        self
    }

    /// Limits all calls together: what is not done by `deadline` fails, as with [`Call::deadline`]. In the place of
    /// [`timeout`](Self::timeout): the later of the two counts.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.rpc.defaults.limit = Some(Limit::At(deadline));
        self
    }

    /// Whether a child that runs a call which is late, or cancelled with this, is killed: see [`Call::kill_on_cancel`].
    pub fn kill_on_cancel(mut self, kills: bool) -> Self {
        self.rpc.defaults.kill_on_cancel = kills;
        self
    }

    /// Each call may be run again, up to this many `times`: see [`Call::repeat`].
    pub fn repeat(mut self, times: u32) -> Self {
        self.rpc.defaults.repeats = times;
        self
    }
}

impl<I: Iterator, F, S, E> Map<I, F, S, E>
where
    F: Takes<I::Item, S>,
    S: Serialiser<F::Output>,
{
    /// Makes calls until the window is full.
    fn fill(&mut self) {
        while !self.ended && self.calls.len() < self.window {
            self.ended = true;
            let Some(item) = self.items.next() else {
                return;
            };
            self.ended = false;
            let call = self
                .rpc
                .start::<F::Output>(|output| F::encode(item, output));
            self.calls.push(call);
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let under_way = self.calls.len();
        if self.ended {
            return (under_way, Some(under_way));
        }
        let (least, most) = self.items.size_hint();
        let most = most.and_then(|most| most.checked_add(under_way));
        (least.saturating_add(under_way), most)
    }
}

impl<I: Iterator, F, S, E> Stream for Map<I, F, S, E>
where
    F: Takes<I::Item, S>,
    S: Serialiser<F::Output>,
{
    type Item = Result<F::Output, Error>;

    /// Polls for the next result. Takes items first, so the thread is blocked for as long as that takes.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.fill();
        self.calls.poll(context)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.size_hint()
    }
}

impl<I: Iterator, F, S, E> IntoIterator for Map<I, F, S, E>
where
    F: Takes<I::Item, S>,
    S: Serialiser<F::Output>,
{
    type Item = Result<F::Output, Error>;
    type IntoIter = MapIter<I, F, S, E>;

    fn into_iter(self) -> MapIter<I, F, S, E> {
        MapIter(self)
    }
}

/// Waits for the results of a call for each item, one after the other; from a [`Map`].
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
pub struct MapIter<I, F: Signature, S = crate::Octets, E = crate::NoEvents>(Map<I, F, S, E>);

impl<I: Iterator, F, S, E> Iterator for MapIter<I, F, S, E>
where
    F: Takes<I::Item, S>,
    S: Serialiser<F::Output>,
{
    type Item = Result<F::Output, Error>;

    /// Takes items, and blocks until there is a result.
    fn next(&mut self) -> Option<Self::Item> {
        self.0.fill();
        self.0.calls.wait()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<I: ExactSizeIterator, F, S, E> ExactSizeIterator for MapIter<I, F, S, E>
where
    F: Takes<I::Item, S>,
    S: Serialiser<F::Output>,
{
}

impl<I: Iterator, F, S, E> std::iter::FusedIterator for MapIter<I, F, S, E>
where
    F: Takes<I::Item, S>,
    S: Serialiser<F::Output>,
{
}

/// The calls that are under way.
enum UnderWay<R, E> {
    /// The first is waited for.
    Queue(VecDeque<Call<R, E>>),
    /// Whichever is done is taken.
    Crowd(Crowd<R, E>),
}

impl<R, E> UnderWay<R, E> {
    fn len(&self) -> usize {
        match self {
            Self::Queue(queue) => queue.len(),
            Self::Crowd(crowd) => crowd.places.len() - crowd.free.len(),
        }
    }

    fn push(&mut self, call: Call<R, E>) {
        match self {
            Self::Queue(queue) => queue.push_back(call),
            Self::Crowd(crowd) => crowd.push(call),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<R, Error>>> {
        match self {
            _ if self.len() == 0 => Poll::Ready(None),
            Self::Queue(queue) => {
                let result = ready!(Pin::new(&mut queue[0]).poll(context));
                queue.pop_front();
                Poll::Ready(Some(result))
            }
            Self::Crowd(crowd) => crowd.poll(context).map(Some),
        }
    }

    fn wait(&mut self) -> Option<Result<R, Error>> {
        if let Self::Queue(queue) = self {
            return queue.pop_front().map(Call::wait);
        }
        let waker = this_thread();
        loop {
            match self.poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(result) => return result,
                Poll::Pending => park_until(None),
            }
        }
    }
}

/// Calls that are taken in the order in which they are done. Each has a place, and the waker of its place.
struct Crowd<R, E> {
    places: Vec<(Option<Call<R, E>>, Waker)>,
    free: Vec<usize>,
    woken: Arc<Mutex<Woken>>,
}

#[derive(Default)]
struct Woken {
    /// The places whose calls are to be polled.
    places: VecDeque<usize>,
    /// What waits for one of them.
    waker: Option<Waker>,
}

impl<R, E> Default for Crowd<R, E> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            woken: Arc::default(),
        }
    }
}

impl<R, E> Crowd<R, E> {
    fn push(&mut self, call: Call<R, E>) {
        let place = self.free.pop().unwrap_or_else(|| self.add_place());
        self.places[place].0 = Some(call);
        self.woken.lock().places.push_back(place);
    }

    fn add_place(&mut self) -> usize {
        let (place, woken) = (self.places.len(), Arc::clone(&self.woken));
        let wake = move || {
            let mut woken = woken.lock();
            woken.places.push_back(place);
            let waker = woken.waker.take();
            drop(woken);
            waker.into_iter().for_each(Waker::wake);
        };
        self.places.push((None, waker(wake)));
        place
    }

    /// Polls the calls that were woken, of which there is at least one under way.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<R, Error>> {
        loop {
            let mut woken = self.woken.lock();
            let Some(place) = woken.places.pop_front() else {
                let old = woken.waker.replace(context.waker().clone());
                drop(woken);
                drop(old);
                return Poll::Pending;
            };
            drop(woken);
            let (call, waker) = &mut self.places[place];
            let Some(under_way) = call else { continue };
            if let Poll::Ready(result) = Pin::new(under_way).poll(&mut Context::from_waker(waker)) {
                *call = None;
                self.free.push(place);
                return Poll::Ready(result);
            }
        }
    }
}
