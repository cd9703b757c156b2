# file: src/startup.rs
# target: --test it
# test: prefixed::strays_are_found
s/if parent == own =>/if parent == own || own > 0 =>/
s/let is_here = .*/let is_here = !told.is_empty();/
