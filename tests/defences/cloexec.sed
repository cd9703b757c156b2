# file: src/sys/link/parent.rs
# target: --lib
# test: sys::tests::link::everything_is_close_on_exec
s/SockFlag::SOCK_CLOEXEC/SockFlag::empty()/
