# file: src/parent/child/state/lifecycle.rs
# target: --test it
# test: start::wrong_programs
s/hello: hello.and_then(|time| Instant::now().checked_add(time)),/hello: None,/
