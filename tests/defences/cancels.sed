# file: src/child/blocking.rs
# target: --test it
# test: calls::calls_that_the_child_has_read_are_cancelled
/^            read_cancels(&mut conn);$/d
