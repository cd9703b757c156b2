# file: src/parent/child/state/lifecycle.rs
# target: --lib
# test: parent::child::state::lifecycle::tests::every_way_through_a_lifecycle
s/if !self.stream_ended || self.is_over() {/if !self.stream_ended {/
s/^        if !self.is_over() {$/        {/
