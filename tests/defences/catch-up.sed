# file: src/parent/child/driver.rs
# target: --lib
# test: parent::child::tests::late::an_answer_that_has_arrived_counts_before_a_deadline
/^    pub(crate) fn timer_fired/,/^    }/s/self.catch_up();//
