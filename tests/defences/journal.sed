# file: src/child/blocking.rs
# target: --test it
# test: batches::the_last_of_a_hundred_kills_the_child
/note_started(&conn.requests)?;/d
