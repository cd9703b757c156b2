# file: src/parent/child/state/lifecycle.rs
# target: --test it
# test: death::answer_and_exit
s/if !self.stream_ended || self.is_over() {/if self.is_over() {/
