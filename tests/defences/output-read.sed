# file: src/parent/child/child_io.rs
# target: --test it
# test: death::stderr_is_captured
s/registration.watch(watched, pipe.as_fd(), Interest::READ)?;/registration.watch(watched, pipe.as_fd(), Interest::NONE)?;/
