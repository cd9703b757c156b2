# file: src/parent/child/state/callback_queue.rs
# target: --test it
# test: callbacks::registered_while_the_last_callback_runs
s/self.due |= !self.queue.is_empty();//
