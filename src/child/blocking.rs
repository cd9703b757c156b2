//! The blocking server: one call at a time, in the order they came.
//!
//! It reads as much as there is and runs what it has read call by call; each is
//! answered before the next starts. At the end of input it is done.

use super::session::{self, Backend, Conversation, broken, end, fail};
use crate::parcel::{Parcel, Received};
use crate::protocol::{Failure, Request};
use crate::sys::ReadMode;
use crate::trace_calls::CallScope;

/// What the parent is told of how calls run here: one after the other.
pub(super) const BACKEND: Backend = Backend {
    name: Some("blocking"),
    start: || Ok(()),
};

/// Runs one call: its id and its arguments in, the result appended.
pub(super) type Work<'a> = dyn FnMut(u32, Received<'_>, &mut Parcel) -> Result<(), Failure> + 'a;

/// Serves until the parent is done, or gone. Gives the code to exit with.
pub(super) fn serve(mut conversation: Conversation, work: &mut Work<'_>) -> i32 {
    if conversation.ready().is_err() {
        return 0;
    }
    let mut parcel = Parcel::new();
    loop {
        match conversation.requests.next(&mut conversation.reader) {
            Ok(Some(Request::Call(id))) => {
                if let Err(code) = answer(&mut conversation, id, work, &mut parcel) {
                    return code;
                }
            }
            Ok(Some(Request::Refuse(id, failure))) => {
                if let Err(code) = fail(&conversation.outgoing, id, &failure) {
                    return code;
                }
            }
            // It has been answered, or passed over.
            Ok(Some(Request::Cancel(_))) => {}
            Ok(Some(Request::Hello(_))) => return broken("a second hello"),
            Err(violation) => return broken(&violation.0),
            Ok(None) => {
                if !more(&mut conversation) {
                    return end(&conversation.reader);
                }
            }
        }
    }
}

fn more(conversation: &mut Conversation) -> bool {
    let Conversation {
        outgoing,
        reader,
        spin,
        ..
    } = conversation;
    let room = reader.room();
    let spin = spin.at(reader.is_empty());
    let found = spin.look(|| outgoing.recv(ReadMode::Look, reader, room));
    let count = found.or_else(|| outgoing.recv(ReadMode::Block, reader, room));
    conversation.requests.look_ahead(&mut conversation.reader);
    count.is_some_and(|count| count > 0)
}

/// Runs a call and answers it, with a parcel that is empty, and will be again.
fn answer(
    conversation: &mut Conversation,
    id: u32,
    work: &mut Work<'_>,
    parcel: &mut Parcel,
) -> Result<(), i32> {
    let outgoing = &conversation.outgoing;
    outgoing.note_started(&conversation.requests);
    let reader = &mut conversation.reader;
    let done = reader.hand_out(|arguments| CallScope::new(id).run(|| work(id, arguments, parcel)));
    let answered = session::answer(outgoing, id, done.map(|()| &mut *parcel));
    // The child may sleep next, and is to hold nothing meanwhile.
    parcel.renew();
    answered
}
