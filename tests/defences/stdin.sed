# file: src/sys/process/stdio.rs
# target: --test it
# test: start::printing_and_reading_harm_nothing
s/dup2_stdin(empty_input("\/dev\/null")?)?;//
