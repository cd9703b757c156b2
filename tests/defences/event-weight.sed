# file: src/parent/child/state/callback_queue.rs
# target: --lib
# test: parent::child::state::callback_queue::tests::empty_events_have_a_weight
/Self::Report(_) => Weight {/,/},/s/bytes: size_of::<Self>(),/bytes: 1,/
