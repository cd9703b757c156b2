# file: src/sys/process/fork.rs
# target: --test it
# test: template::with_threads_it_does_not_fork
/^    pub(crate) fn fork/,/^    }/s/self.require_single_thread()?;//
