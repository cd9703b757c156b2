# file: src/parent/template/mod.rs
# target: --test it
# test: template::it_dies_before_it_forks
s/const ATTEMPTS: u32 = 2;/const ATTEMPTS: u32 = 1;/
