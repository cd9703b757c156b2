# file: src/child/handshake.rs
# target: --test it
# test: liars::a_parent_of_another_version
s/if hello.version != VERSION {/if hello.version == 0 {/
