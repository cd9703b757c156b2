//! The deliveries of a child, made by its thread for callbacks.

use std::sync::Weak;

use super::super::state::delivery::Due;
use super::super::wire::Wire;
use super::Driver;
use crate::parent::callbacks::Next;
use crate::trace_calls::delivering;

impl<W: Wire> Driver<W> {
    /// Makes the next delivery. A thread that may not wait leaves if there is none.
    pub(super) fn deliver_next(&self, may_wait: bool) -> Next {
        match self.change(|core| core.delivery.next(may_wait)) {
            Due::Item(item) => delivering(
                || {
                    let this = Weak::clone(&self.this);
                    move |call| this.upgrade()?.lock().span_of(call)
                },
                || self.courier.deliver(item),
            ),
            Due::Nothing if may_wait => return Next::Wait,
            Due::Nothing => return Next::Leave,
            Due::End => {
                self.courier.end();
                self.change(|core| {
                    core.delivery.end();
                    core.delivered();
                });
                return Next::Leave;
            }
        }
        if !self.is_here() {
            // The callback has called `fork`, and this is the copy, where it returned.
            return Next::Leave;
        }
        self.change(|core| {
            core.delivery.delivered();
            core.delivered();
        });
        Next::Again
    }
}
