# file: src/child/blocking.rs
# target: --test it
# test: start::nested_workers
s/^    count.is_some_and(|count| count > 0)$/& || { std::thread::sleep(std::time::Duration::from_secs(90)); false }/
