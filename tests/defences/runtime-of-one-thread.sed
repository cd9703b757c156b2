# file: src/child/concurrent.rs
# target: --test runtime_first
# test: work
s/^    check_runtime()?;$//
