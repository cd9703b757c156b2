# file: src/sys/link/transport.rs
# target: --lib
# test: sys::tests::signals::a_gone_peer_raises_no_signal
/let flags = flags | MsgFlags::MSG_NOSIGNAL;/d
