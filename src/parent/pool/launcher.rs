//! Where the children of a pool come from: one way of starting them.

use std::sync::Arc;

use crate::base::sync::Mutex;
use crate::error::Error;
use crate::parent::child::member::Member;
use crate::parent::child::terms::{EventSink, Handlers};
use crate::parent::spawn::Recipe;
use crate::parent::spawn::starter::Starter;

/// See the module.
pub(super) struct Launcher {
    recipe: Mutex<Recipe>,
    /// What starts are made from, until the pool is over.
    starter: Mutex<Option<Arc<Starter>>>,
    carries: bool,
    sink: EventSink,
    handlers: Box<dyn Fn() -> Handlers + Send + Sync>,
}

impl Launcher {
    /// Children inherit from the calling thread.
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

    /// Descriptors can go along with calls.
    pub(super) fn carries_descriptors(&self) -> bool {
        self.carries
    }

    /// Has a start made, behind those before it: on the thread that children
    /// are started from.
    pub(super) fn push(&self, start: impl FnOnce() + Send + 'static) {
        let starter = self.starter.lock().clone();
        if let Some(starter) = starter {
            starter.push(start);
        }
    }

    /// No more children are needed, nor is the thread.
    pub(super) fn retire(&self) {
        *self.starter.lock() = None;
        self.recipe.lock().starter = None;
    }

    /// Starts a child. For a job that was [pushed](Self::push).
    ///
    /// # Blocking
    ///
    /// Until it runs.
    pub(super) fn start(&self) -> Result<Member, Error> {
        let mut recipe = self.recipe.lock();
        let (driver, _) = recipe.start(self.sink, (self.handlers)())?;
        Ok(Member::new(driver))
    }

    /// Tells the user that a start has failed.
    pub(super) fn report(&self, error: Error) {
        ((self.handlers)().on_error)(error);
    }
}
