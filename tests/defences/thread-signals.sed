# file: src/sys/thread/mod.rs
# target: --test it
# test: signals::threads_of_the_crate_take_no_signals
s/with_mask(SignalMask::all(), run)/with_mask(SignalMask::current(), run)/
