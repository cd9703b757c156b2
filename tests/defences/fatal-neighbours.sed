# file: src/parent/child/state/end.rs
# target: --test it
# test: crashes::arguments_that_end_each_child_that_receives_them
s/self.handle_lost(id, received == Some(id));/self.handle_lost(id, received.is_some());/
