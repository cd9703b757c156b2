# file: src/sys/ring/memory.rs
# target: --test it
# test: death::what_a_socket_has_does_not_run_after_the_link_is_cut
s/ & SETTLED == 0$/ < u64::MAX/
