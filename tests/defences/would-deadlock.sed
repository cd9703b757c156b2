# file: src/parent/child/state/callback_queue.rs
# target: --test it
# test: callbacks::a_wait_behind_a_full_queue
s/self.is_full() \&\& self.is_running_here()/self.is_full() \&\& self.over/
