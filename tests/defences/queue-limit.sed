# file: src/parent/pool/engine.rs
# target: --test it
# test: pool::a_full_queue
s/if !may_wait \&\& work.scheduler.is_full(1) {/if !may_wait \&\& message.frame.is_empty() {/
