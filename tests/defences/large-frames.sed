# file: src/protocol/reader.rs
# target: --lib
# test: protocol::tests::frames::a_large_frame_is_put_together_in_linear_time
s/if end - start < LARGE || start > LARGE {/if end >= start {/
