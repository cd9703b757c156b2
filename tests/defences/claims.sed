# file: src/protocol/reader.rs
# target: --test it
# test: peers::a_peer_that_claims_a_gigabyte
s/missing.min(self.buffer.len().clamp(READ, AHEAD)).max(READ)/missing.max(READ)/
