# file: src/parent/child/pool_child.rs
# target: --lib
# test: parent::child::tests::driver::a_child_is_not_gone_before_its_calls_are_back
s/gone: is_over \&\& !state.waiters.is_requeueing(),/gone: is_over,/
