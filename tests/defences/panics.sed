# file: src/child/panic.rs
# target: --test it
# test: calls::faults_that_fail_one_call
s/catch_unwind(AssertUnwindSafe(run));/std::thread::Result::Ok(run());/
