# file: src/protocol/hello.rs
# target: --lib
# test: protocol::tests::frames::lists_have_a_limit
s/if index == most {/if index == usize::MAX {/
