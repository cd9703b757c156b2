# file: src/sys/link/parent.rs
# target: --lib
# test: sys::link::parent::tests::shutdown_read_does_not_overtake_bytes
/^    fn unless_read_ended/,/^    }/{
/let ended = /d
s/let count = recv()?;/let count = recv()?;\n        let ended = self.read_ended.load(Ordering::Acquire);/
}
