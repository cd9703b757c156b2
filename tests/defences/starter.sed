# file: src/parent/spawn/launcher.rs
# target: --test it
# test: inheritance::a_child_does_not_go_with_the_thread_that_called_spawn
s/None => Starter::for_child()?,/None => None,/
