# file: src/parent/child/state/calls.rs
# target: --test it
# test: pool::what_had_not_started_moves
s/(started == Started::No || /(/
