# file: src/parent/template/mod.rs
# target: --test it
# test: template::another_takes_its_place
s/if current.is_gone() {/if current.is_gone() \&\& current.killed.load(Ordering::Relaxed) {/
