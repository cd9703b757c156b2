# file: src/parent/child/state/callback_queue.rs
# target: --test it
# test: limits::a_flood_of_events
/^    pub(super) fn is_over_limits/,/^    }/{
s/self.queue.len() + self.stream.len() + self.call_events.events >= self.limits.events/self.limits.events == 0/
s/|| weight.bytes >= self.limits.bytes//
}
