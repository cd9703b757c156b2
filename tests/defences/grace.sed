# file: src/parent/child/state/lifecycle.rs
# target: --test it
# test: death::a_child_that_closes_its_link
s/self.timeouts.kill = Some(self.timeouts.kill.map_or(grace, |at| at.min(grace)));/let _ = grace;/
