# file: src/parent/child/output.rs
# target: --lib
# test: parent::child::output::tests::stderr_is_read_in_turns
s/while count < most {/while count < usize::MAX {/
