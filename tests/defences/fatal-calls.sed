# file: src/parent/pool/call.rs
# target: --test it
# test: crashes::arguments_that_end_each_child_that_receives_them
s/state.fatal >= PATIENCE/state.fatal > 50/
