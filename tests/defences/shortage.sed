# file: src/child/handshake.rs
# target: --test it
# test: confined::too_little_to_start_with
s/let started = (backend.start)().and_then(|()| match/let started = Ok(()).and_then(|()| match/
