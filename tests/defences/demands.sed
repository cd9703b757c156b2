# file: src/parent/spawn/confinement.rs
# target: --test it
# test: confined::a_worker_that_knows_nothing_of_demands
s/if hello.text(name) != wanted {/if hello.text(name) != wanted \&\& wanted == "-" {/
