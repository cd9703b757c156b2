# file: src/parent/child/state/callback_queue.rs
# target: --test it
# test: callbacks::calls_inside_callbacks
s/self.returned_up_to(count) || is_callback_thread()/self.returned_up_to(count)/
