# file: src/parent/pool/call.rs
# target: --test it
# test: pool::what_was_to_be_repeated_had_started
/state.options.earlier = Some(error.started());/d
