# file: src/parent/pool/scheduler/observe.rs
# target: --lib
# test: parent::pool::scheduler::tests::no_call_is_lost_or_run_twice
s/if seen.retired {/if seen.retired \&\& seen.full {/
