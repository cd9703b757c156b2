# file: src/parent/client.rs
# target: --test it
# test: room::detached_calls_need_room
s/let may_go = completion.is_callback() || !is_queued();/let may_go = completion.is_callback() || !is_queued() || self.id > 0;/
