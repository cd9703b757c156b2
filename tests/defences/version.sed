# file: src/protocol/hello.rs
# target: --lib
# test: protocol::tests::frames::what_a_child_writes_in_the_full_form
/^    pub(crate) fn is_of_child/,/^    }/s/if self.version != VERSION/if self.version == 0/
