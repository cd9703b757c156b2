# file: src/trace.rs
# target: --test it
# test: traces::a_subscriber_that_panics
s/let _ = catch_panic(event);/let _ = catch_panic(|| ()); event();/
