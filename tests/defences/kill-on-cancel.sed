# file: src/parent/child/state/calls.rs
# target: --test it
# test: late::a_call_that_cannot_be_stopped_takes_the_child_with_it
s/if entry.kills_on_cancel() \&\& /if false \&\& /
