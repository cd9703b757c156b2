# file: src/parent/child/state/lifecycle.rs
# target: --lib
# test: parent::child::state::lifecycle::tests::a_pause_moves_the_timeouts
s/if self.grant_pause(now) {/if false \&\& self.grant_pause(now) {/
