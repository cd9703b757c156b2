# file: src/parent/child/state/deadlines.rs
# target: --lib
# test: parent::child::state::deadlines::tests::many_deadlines_at_once_expire_in_batches
s/while due.len() < BATCH$/while due.len() < usize::MAX/
