# file: src/parent/client.rs
# target: --test it
# test: callbacks::a_refused_call_panics_in_its_callback
s/self.change(|state| state.refuse(on_done, error));/on_done(Err(error));/
