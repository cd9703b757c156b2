# file: src/parent/pool/scheduler/backoff.rs
# target: --lib
# test: parent::pool::scheduler::tests::single::it_backs_off
/self.until = now.checked_add(self.pause);/d
