# file: src/sys/thread/suppress.rs
# target: --test it
# test: memory::where_files_may_not_be_long
s/match without_signal(Signal::SIGXFSZ, Errno::EFBIG, grow) {/match grow() {/
