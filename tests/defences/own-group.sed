# file: src/parent/spawn/launcher.rs
# file: src/sys/process/limits.rs
# target: --test it
# test: terminal::ctrl_c
/command.process_group(0);/d
s/^    if getpgrp() != getpid() {$/    if false {/
