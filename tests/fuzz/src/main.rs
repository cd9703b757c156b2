//! One target under libFuzzer: `OFFSPRING_FUZZ_TARGET` names it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<offspring_fuzz::Target> = LazyLock::new(|| {
    let name =
        std::env::var("OFFSPRING_FUZZ_TARGET").expect("`OFFSPRING_FUZZ_TARGET` names a target");
    offspring_fuzz::target(&name).expect("there is no such target")
});

fuzz_target!(|data: &[u8]| TARGET.run(data));
