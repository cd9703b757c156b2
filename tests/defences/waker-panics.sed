# file: src/base/waker.rs
# target: --test it
# test: callbacks::a_waker_that_panics_in_a_pool
s/let _ = catch_panic(|| waker.wake());/let _ = catch_panic(|| ()); waker.wake();/
