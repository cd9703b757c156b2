# file: src/parent/child/state/leadership.rs
# target: --lib
# test: parent::child::state::leadership::tests::no_state_leaves_a_waiter_waiting
s/self.blocked \&\& inputs.unwritten \&\& !self.writing,/self.blocked \&\& inputs.unwritten \&\& self.writing,/
