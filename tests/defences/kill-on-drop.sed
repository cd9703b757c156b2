# file: src/parent/handles/rpc.rs
# target: --test it
# test: giving_up::a_child_is_killed_with_its_last_handle
s/kills: options.kill_on_drop,/kills: false,/
