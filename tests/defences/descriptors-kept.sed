# file: src/protocol/caller/limits.rs
# target: --lib
# test: protocol::tests::ancillary::descriptors_of_results_that_wait_have_a_limit
s/if \*kept + own <= most {/if *kept + own <= most || most > 0 {/
