# file: src/parent/callbacks.rs
# target: --test it
# test: callbacks::the_system_refuses_threads
s/^        run_without_thread(job);/        drop(job);/
