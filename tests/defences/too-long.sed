# file: src/protocol/caller/limits.rs
# target: --test it
# test: calls::too_long_fails_one_call
s/if length > self.frame as usize {/if length > u32::MAX as usize {/
