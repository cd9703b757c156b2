# file: src/parent/pool/scheduler/step.rs
# target: --lib
# test: parent::pool::scheduler::tests::no_call_is_lost_or_run_twice
s/Stage::Leaving => child.load == 0,/Stage::Leaving => false,/
