# file: src/protocol/hello.rs
# target: --lib
# test: protocol::tests::frames::long_texts_are_cut_off_by_the_sender
s/if text.len() <= most {/if text.len() <= usize::MAX {/
