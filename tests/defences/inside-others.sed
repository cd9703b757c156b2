# file: src/parent/child/state/callback_queue.rs
# target: --test it
# test: callbacks::callbacks_that_wait_for_each_others_children
s/self.returned_up_to(count) || is_callback_thread()/self.returned_up_to(count) || self.is_running_here()/
