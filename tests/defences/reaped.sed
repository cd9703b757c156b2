# file: src/sys/process/pidfd.rs
# target: --test it
# test: death::another_thread_reaps
s/Err(Errno::ECHILD) => Ok(self.is_over()?.then_some(ExitStatus::Unknown)),/Err(Errno::ECHILD) => Ok(None),/
