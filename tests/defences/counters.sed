# file: src/sys/ring/mod.rs
# target: --lib
# test: sys::ring::tests::mapped::counters_that_contradict_each_other_are_a_violation
s/if limit < before || .* {/if limit < before {/
