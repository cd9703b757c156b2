# file: src/sys/link/transport.rs
# target: --lib
# test: sys::tests::link::everything_is_close_on_exec
s/flags.bits() | libc::MSG_CMSG_CLOEXEC/flags.bits()/
