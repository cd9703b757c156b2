# file: src/sys/link/transport.rs
# target: --lib
# test: sys::tests::link::only_a_stream_socket_is_taken_for_one
s/if getsockopt(\&fd, sockopt::SockType)? != SockType::Stream {/if getsockopt(\&fd, sockopt::SockType)? == SockType::Rdm {/
