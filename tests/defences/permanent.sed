# file: src/sys/process/spawn.rs
# target: --lib
# test: sys::process::spawn::tests::what_another_attempt_may_mend
s/Some(number) => LASTING.contains(\&number),/Some(number) => LASTING.contains(\&number) || number == libc::EMFILE,/
