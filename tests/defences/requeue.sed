# file: src/parent/pool/call.rs
# target: --test it
# test: pool::what_had_not_started_moves
s/it.submit(self.ticket,/let ticket = it.ticket();\n            it.submit(ticket,/
