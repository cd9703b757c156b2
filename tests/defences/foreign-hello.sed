# file: src/protocol/caller/answers.rs
# target: --test it
# test: start::wrong_hellos
s/if self.awaits_hello \&\& !may_be_hello(reader.rest()) {/if self.awaits_hello \&\& reader.rest().len() == 1 {/
