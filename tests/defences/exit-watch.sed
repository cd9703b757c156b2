# file: src/parent/child/child_io.rs
# target: --test it
# test: death::a_grandchild_holds_the_link
/self.link.shutdown_read();/d
