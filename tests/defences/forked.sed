# file: src/parent/forked.rs
# target: --test it
# test: forked::handles_of_the_original_are_errors_and_others_work
s/self.creator.is_current()$/true/
