# file: src/parent/pool/call.rs
# target: --test it
# test: pool::what_may_be_repeated_is
/repeats.saturating_sub((reached == Reached::Running).into());/d
