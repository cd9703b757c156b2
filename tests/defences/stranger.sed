# file: src/sys/process/pidfd.rs
# target: --lib
# test: sys::tests::process::a_stranger_is_never_touched
/Err(Errno::ECHILD) if !self.is_over()? => Self::already_reaped(self.pid),/d
