# file: src/parent/child/child_io.rs
# target: --test it
# test: death::a_grandchild_holds_the_pipes_of_a_command
s/if let Some(end) = link.end_fd() {/if let Some(end) = link.end_fd().filter(|_| false) {/
