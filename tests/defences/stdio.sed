# file: src/sys/fd.rs
# target: --test it
# test: closed::nothing_takes_the_place_of_a_stream
s/above_stdio(create)?.moved_up()/create()/
