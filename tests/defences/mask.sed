# file: src/parent/spawn/launcher.rs
# target: --test it
# test: inheritance::children_are_like_the_thread_that_built_their_pool
/command.args(self.starter.as_ref().map(|own| mask_argument(&own.mask())));/d
