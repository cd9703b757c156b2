# file: src/sys/ring/mod.rs
# target: --lib
# test: sys::ring::tests::mapped::a_doorbell_is_asked_for_once_a_sleep
s/^            doorbell();$/            let _ = \&doorbell;/
