# file: src/child/handshake.rs
# target: --test it
# test: death::the_parent_is_killed
s/true => self.exit_with_parent(),/true => Ok(()),/
