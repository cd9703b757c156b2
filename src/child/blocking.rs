//! The blocking server: one call at a time, in the order they came.
//!
//! The server reads as much as there is and runs the calls in it one by one; each is
//! answered before the next starts. Between calls it reads what has come meanwhile,
//! at most once a tick of the clock, because a cancel of a call that waits in the
//! buffer may be among it. The server is done at the end of input.

use super::exit_code::report_violation;
use super::handshake::{self, Backend, Conn, fail};
use crate::message::{Incoming, Message};
use crate::protocol::{Failure, Form, Request};
use crate::sys::{self, ReadMode};
use crate::trace_calls::CallScope;

/// The backend, as the child's hello names it: calls run one after the other.
pub(super) const BACKEND: Backend = Backend {
    name: Some("blocking"),
    start: || Ok(()),
};

/// Runs one call: takes its id and arguments, and appends its result.
pub(super) type RunCall<'a> =
    dyn FnMut(u32, Incoming<'_>, &mut Message) -> Result<(), Failure> + 'a;

/// Serves until the parent ends its output or exits. Returns the exit code.
pub(super) fn serve(mut conn: Conn, work: &mut RunCall<'_>) -> i32 {
    if let Err(unsent) = conn.ready() {
        return unsent.exit_code();
    }
    let mut message = Message::new();
    let mut tick = sys::coarse_clock();
    loop {
        let now = sys::coarse_clock();
        if std::mem::replace(&mut tick, now) != now {
            read_cancels(&mut conn);
        }
        match conn.requests.next(&mut conn.reader) {
            Ok(Some(Request::Call(id))) => {
                if let Err(code) = answer(&mut conn, id, work, &mut message) {
                    return code;
                }
            }
            Ok(Some(Request::Refuse(id, failure))) => {
                if let Err(code) = fail(&conn.reply_writer, id, &failure) {
                    return code;
                }
            }
            // The call was answered, or is skipped.
            Ok(Some(Request::Cancel(_))) => {}
            Ok(Some(Request::Hello(_))) => return report_violation("a second hello"),
            Err(violation) => return report_violation(&violation.0),
            Ok(None) => {
                if !more(&mut conn) {
                    return conn.exit_code();
                }
            }
        }
    }
}

/// Reads what has come while a call ran, unless enough requests wait in the buffer.
fn read_cancels(conn: &mut Conn) {
    if conn.has_read_ahead() || conn.reader.form == Form::Plain {
        return;
    }
    // The end of input is met again by the read that finds no more calls.
    if conn.recv(ReadMode::Look).is_some() {
        conn.requests.note_cancels(&mut conn.reader);
    }
}

/// Waits for more requests, and returns whether there are any.
fn more(conn: &mut Conn) -> bool {
    let count = conn.spin().or_else(|| conn.recv(ReadMode::Block));
    conn.requests.note_cancels(&mut conn.reader);
    count.is_some_and(|count| count > 0)
}

/// Runs a call and answers it. `message` is empty before and after.
fn answer(
    conn: &mut Conn,
    id: u32,
    work: &mut RunCall<'_>,
    message: &mut Message,
) -> Result<(), i32> {
    let reply_writer = &conn.reply_writer;
    reply_writer.note_started(&conn.requests)?;
    let reader = &mut conn.reader;
    let done = reader.hand_out(|arguments| CallScope::new(id).run(|| work(id, arguments, message)));
    let answered = handshake::answer(reply_writer, id, done.map(|()| &mut *message));
    // A child that sleeps next must not hold a long message.
    message.renew();
    answered
}
