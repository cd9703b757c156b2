# file: src/child/handshake.rs
# target: --test it
# test: confined::the_group_goes_with_the_parent
s/(Ok(()), true) => sys::exit_with_group(FAILED),//
s/(Ok(()), false) => sys::exit_now(FAILED),/(Ok(()), _) => sys::exit_now(FAILED),/
