# file: src/base/registry.rs
# target: --lib
# test: base::registry::tests::each_is_found_by_its_origin
s/if let Some((found, _)) = named.iter().find(|(_, own)| own == origin) {/if let Some((found, _)) = named.first() {/
