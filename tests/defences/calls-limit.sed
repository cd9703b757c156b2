# file: src/protocol/caller.rs
# target: --lib
# test: protocol::tests::caller::over_the_limit_of_calls_the_first_comes_first
s/self.sending.open < self.limits.calls \&\& //
