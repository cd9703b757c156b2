# file: src/sys/link/transport.rs
# target: --lib
# test: sys::tests::link::an_adopted_descriptor_becomes_close_on_exec
/F_SETFD(FdFlag::FD_CLOEXEC)/d
