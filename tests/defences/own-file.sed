# file: src/sys/process/spawn.rs
# target: --test it
# test: leaks::the_programs_file_is_replaced
s/Command::new(OWN_PROGRAM)/Command::new(std::env::current_exe().unwrap_or_default())/
