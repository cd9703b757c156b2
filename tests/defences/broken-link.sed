# file: src/child/reply_writer.rs
# target: --lib
# test: child::reply_writer::tests::a_broken_link_leaves_the_ring_as_it_is
s/Some(code) => Err(SendError::ParentGone(code)),/Some(code) if frame.is_empty() => Err(SendError::ParentGone(code)),/
s/None => note_failure(broken, self.link.send_all(frame, &\[\])),/_ => note_failure(broken, self.link.send_all(frame, \&[])),/
