# file: src/parent/child/output.rs
# target: --lib
# test: parent::child::output::tests::stderr_is_read_in_turns
/self.bytes.drain(\.\.self.bytes.len() - keep);/d
