# file: serialisers/src/layer/write.rs
# target: -p offspring-serialisers --test losses
# test: a_null_in_some_is_refused
s/match self.position == WritePosition::Some \&\& /match self.position == WritePosition::Whole \&\& /
