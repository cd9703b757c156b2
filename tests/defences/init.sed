# file: src/child/function.rs
# target: --test it
# test: start::init_that_fails
s/let _ = writer.init_failed(&failure);/let _ = (\&writer, \&failure);/
