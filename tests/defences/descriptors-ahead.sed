# file: src/protocol/reader.rs
# target: --lib
# test: protocol::tests::ancillary::descriptors_without_a_message_have_a_limit
s/if count <= most {/if count <= most || most > 0 {/
