# file: src/sys/memory/mod.rs
# target: --lib
# test: sys::tests::memory::what_another_could_change_is_not_sealed
s/if !SealFlag::from_bits_retain(found).contains(seals)/if found < 0/
