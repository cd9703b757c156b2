# file: src/child/handshake.rs
# target: --test it
# test: confined::limits_are_set_in_the_child_and_only_there
s/crate::limits::apply(\&limits)?;//
