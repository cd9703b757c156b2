# file: src/parent/child/state/calls.rs
# target: --test it
# test: callbacks::a_wait_behind_a_full_queue
/Started::No if !self.caller.is_queued(id) => Started::Unknown,/d
