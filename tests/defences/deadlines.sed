# file: src/parent/child/state/calls.rs
# target: --lib
# test: parent::child::tests::late::calls_that_are_done_in_time_leave_no_timers
/^    pub(super) fn release/,/^    }/{
/if let Some(at) = extras.options.deadline {/,/^        }/d
}
