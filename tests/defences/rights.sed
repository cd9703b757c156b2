# file: src/child/handshake.rs
# target: --test it
# test: confined::rights_that_need_no_root
s/crate::rights::apply(\&self.hello.text("rights"))?;//
