# file: src/parent/child/state/lifecycle.rs
# target: --test it
# test: death::join_within
s/self.timeouts.kill = at.checked_add(GRACE \* 4);//
