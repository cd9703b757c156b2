# file: src/parent/child/state/mod.rs
# target: --lib
# test: parent::child::tests::driver::a_call_that_waits_for_hello_is_not_left_waiting
s/|| self.has_unwritten() && !self.lifecycle.has_said_hello();/|| false;/
