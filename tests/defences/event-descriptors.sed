# file: src/parent/child/state/callback_queue.rs
# target: --lib
# test: parent::child::state::callback_queue::tests::descriptors_of_events_have_a_limit
/|| weight.descriptors >= self.limits.descriptors/d
