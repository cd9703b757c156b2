# file: src/protocol/table.rs
# target: --lib
# test: protocol::table::tests::ids_wrap_and_pass_over_those_in_use
s/if let Entry::Vacant(place) = self.slots.entry(id) {/{/
s/place.insert(slot(id));/let made = slot(id);\n                self.slots.insert(id, made);/
