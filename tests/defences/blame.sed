# file: src/parent/pool/scheduler/observe.rs
# target: --lib
# test: parent::pool::scheduler::tests::single::calls_that_end_their_child_delay_nothing
s/if seen.worked {/if seen.worked \&\& seen.retired {/
