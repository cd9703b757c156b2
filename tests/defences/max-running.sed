# file: src/child/concurrent.rs
# target: --test it
# test: concurrent::no_more_calls_run_than_may
s/self.executor.len() >= self.max_running/self.executor.len() >= usize::MAX/
