# file: src/parent/spawn/mod.rs
# target: --test forgetful_tests
# test: a_test_binary_that_cannot_work
s/if (own || is_child) \&\& !startup::can_be_child() {/if is_child \&\& !startup::can_be_child() {/
