# file: src/parent/pool/scheduler/observe.rs
# target: --lib
# test: parent::pool::scheduler::tests::single::a_hopeless_start_is_told_at_once
s/kind.hopeless = hopeless;/kind.hopeless = hopeless \&\& kind.failures > 4;/
