# file: src/parent/pool/call.rs
# target: --test it
# test: room::detached_calls_of_a_pool_need_room
s/if !is_callback \&\& is_queued() \&\& self.engine.lock().scheduler.is_full(0) {/if !is_callback \&\& is_queued() \&\& self.ticket == 0 {/
