# file: serialisers/src/layer/read.rs
# target: -p offspring-serialisers --test hostile
# test: depth_is_an_error
s/const DEPTH: usize = 256;/const DEPTH: usize = 1 << 30;/
