//! A kind: the children of a pool that have the same launcher and options.

use std::sync::Arc;

use crate::base::sync::Mutex;
use crate::error::Error;
use crate::parent::child::interface::{EventSink, Handlers};
use crate::parent::child::pool_child::PoolChild;
use crate::parent::spawn::Recipe;
use crate::parent::spawn::starter::Starter;

/// How children of one kind are started: see the module.
pub(super) struct ChildKind {
    recipe: Mutex<Recipe>,
    /// The thread that starts children, until the pool is over.
    starter: Mutex<Option<Arc<Starter>>>,
    carries: bool,
    sink: EventSink,
    handlers: Box<dyn Fn() -> Handlers + Send + Sync>,
}

impl ChildKind {
    /// Creates the thread that starts children. Children inherit from the calling thread.
    pub(super) fn new(
        mut recipe: Recipe,
        sink: EventSink,
        handlers: Box<dyn Fn() -> Handlers + Send + Sync>,
    ) -> Result<Self, Error> {
        let starter = Starter::new()?;
        recipe.start_from(Arc::clone(&starter));
        Ok(Self {
            carries: recipe.may_carry(),
            recipe: Mutex::new(recipe),
            starter: Mutex::new(Some(starter)),
            sink,
            handlers,
        })
    }

    /// Returns whether file descriptors can be sent with calls.
    pub(super) fn carries_descriptors(&self) -> bool {
        self.carries
    }

    /// Queues `start` for the thread that starts children.
    pub(super) fn push(&self, start: impl FnOnce() + Send + 'static) {
        let starter = self.starter.lock().clone();
        if let Some(starter) = starter {
            starter.push(start);
        }
    }

    /// Lets the thread that starts children exit: no more children are needed.
    pub(super) fn retire(&self) {
        *self.starter.lock() = None;
        self.recipe.lock().starter = None;
    }

    /// Starts a child. Only a job that was [pushed](Self::push) calls this.
    ///
    /// # Blocking
    ///
    /// Until the child's process runs.
    pub(super) fn start(&self) -> Result<PoolChild, Error> {
        let mut recipe = self.recipe.lock();
        let (driver, _) = recipe.start(self.sink, (self.handlers)())?;
        Ok(PoolChild { driver })
    }

    /// Calls the pool's `on_error` handler.
    pub(super) fn report(&self, error: Error) {
        ((self.handlers)().on_error)(error);
    }
}
