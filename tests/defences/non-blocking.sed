# file: src/sys/link/child.rs
# target: --test it
# test: signals::non_blocking_streams
s/if count.is_some() || !blocks {/if count.is_some() || !blocks || true {/
