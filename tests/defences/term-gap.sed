# file: src/parent/child/state/lifecycle.rs
# target: --test it
# test: signals::between_term_and_kill_there_is_time
s/self.timeouts.kill = at.checked_add(GRACE \* 4);/self.timeouts.kill = Some(at);/
