# file: src/protocol/reader.rs
# target: --lib
# test: protocol::tests::ancillary::descriptors_that_are_not_taken_are_given_up
/self.arrivals.discard_rest();/d
