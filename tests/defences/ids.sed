# file: src/protocol/caller/withdraw.rs
# target: --lib
# test: protocol::tests::caller::a_cancelled_call_is_never_reported_and_keeps_its_id_until_it_is_answered
/^    pub(crate) fn cancel/,/^    }/s/slot.state = EntryState::Abandoned(sent);/let _ = sent;\n                self.remove(id);/
