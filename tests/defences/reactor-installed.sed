# file: src/parent/reactor.rs
# target: --lib
# test: parent::reactor::tests::a_reactor_that_has_ended_is_not_installed
s/running.is_none() && !self.state.lock().over/running.is_none()/
