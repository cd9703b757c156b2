# file: src/sys/process/fork_server.rs
# target: --test it
# test: template::children_have_nothing_of_each_other
s/std::mem::forget(self.memory);/std::mem::forget((self.memory, self.socket));/
