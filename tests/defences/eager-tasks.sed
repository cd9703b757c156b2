# file: src/parent/child/driver.rs
# target: --lib
# test: parent::child::tests::driver::a_task_leaves_the_children_of_a_busy_pool_to_the_reactor
s/&& state.is_to_read(wait_for)$/\&\& !state.is_there(wait_for)/
