# file: src/parent/spawn/launcher.rs
# target: --test it
# test: start::a_command_is_given_pipes
s/ParentLink::pipes().map(|(link, read, write)| (link, (read, Some(write))))/ParentLink::pair().and_then(|(link, theirs)| Ok((link, (theirs.try_clone()?, Some(theirs)))))/
