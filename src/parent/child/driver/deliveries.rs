//! The deliveries of a child, for its courier.

use super::super::courier::{Courier, Deliveries};
use super::super::state::delivery::Next;
use super::super::wire::Wire;
use super::Driver;

impl<W: Wire> Deliveries for Driver<W> {
    fn courier(&self) -> &Courier {
        &self.courier
    }
    fn is_here(&self) -> bool {
        Self::is_here(self)
    }
    fn runs_here(&self) {
        self.change(|core| core.delivery.runs_here());
    }
    fn next(&self) -> Next {
        self.change(|core| core.delivery.next())
    }
    fn delivered(&self) {
        self.change(|core| {
            core.delivery.delivered();
            core.delivered();
        });
    }
    fn ended(&self) {
        self.change(|core| {
            core.delivery.end();
            core.delivered();
        });
    }
    fn leave(&self) {
        self.core.lock().delivery.leave();
    }
    fn look_again(&self) {
        self.change(|_| ());
    }
}
