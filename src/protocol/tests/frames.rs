//! The meaning of the bytes: a table for each side and form, fed whole, byte by byte, and with the beginning of another
//! frame.

use super::super::hello::{Failure, FailureCode, Hello, Role};
use super::super::reader::NextFrame;
use super::super::{
    Form, Frame, FrameKind, HEADER, MAX_PARENT_HELLO, ReadUpTo, ReplyFrames, Request,
    RequestReader, Violation,
};
use super::{
    CallOutcome, Caller, FORMS, FrameReader, Message, Notice, Outbox, WIDE, feed, hex, message,
    written,
};

const LIMIT: u32 = 100;
/// Number of bytes that can be fed at any time.
const READ: usize = 64 << 10;

/// The hello of a parent, role `P`, version 1, one field `a` with `b`.
const PARENT_HELLO: &str = "ff ff 59 42 00000006 50 01 01 61 01 62";
/// The same of a child.
const CHILD_HELLO: &str = "ff ff 59 42 00000006 43 01 01 61 01 62";

/// Reads the bytes as a parent. Calls 1 and 2 are open.
fn read_as_parent(form: Form, chunks: &[&[u8]]) -> (Vec<String>, Option<Violation>) {
    let hello = Hello::new(Role::Parent);
    let mut caller = Caller::new((form == Form::Full).then_some(&hello), Vec::new(), WIDE);
    let mut reader = FrameReader::new(form, LIMIT);
    for _ in 0..2 {
        caller.call(&mut message(&[], &[]), ());
    }
    let (mut seen, mut notices) = (Vec::new(), Vec::new());
    for chunk in chunks {
        feed(&mut reader, chunk);
        loop {
            let absorbed = caller.read_frames(&mut reader, &mut notices);
            for notice in notices.drain(..) {
                seen.push(tell(&mut caller, notice));
            }
            match absorbed {
                // It stops after a hello, so that the owner can check it.
                Ok(ReadUpTo::Hello) => {}
                Ok(ReadUpTo::All) => break,
                Err(violation) => return (seen, Some(violation)),
            }
        }
    }
    (seen, None)
}

fn tell(caller: &mut Caller, notice: Notice) -> String {
    match notice {
        Notice::Completed(id) => match caller.collect(id, |_| true).unwrap().0 {
            CallOutcome::Result(payload) => format!("{id} is {payload:02x?}", payload = &*payload),
            CallOutcome::Failed(failure) => {
                format!("{id} failed: {:?} {}", failure.code, failure.message)
            }
            CallOutcome::NotSent(_) | CallOutcome::Lost(_) | CallOutcome::Expired(_) => {
                unreachable!("each was sent and is answered")
            }
        },
        Notice::Event(payload) => format!("event {:02x?}", &*payload),
        Notice::CallEvent(id, payload) => format!("event of {id} {:02x?}", &*payload),
        Notice::Hello(hello) => tell_hello(&hello),
        Notice::Unfit(failure) => format!("unfit: {}", failure.message),
        Notice::Ready => "ready".into(),
        Notice::Retired => "retired".into(),
    }
}

fn tell_hello(hello: &Hello) -> String {
    let text = hello.text("a");
    format!("hello {:?} {} a={text}", hello.role, hello.version)
}

fn read_plain(chunks: &[&[u8]]) -> (Vec<String>, Option<Violation>) {
    read_as_parent(Form::Plain, chunks)
}

fn read_full(chunks: &[&[u8]]) -> (Vec<String>, Option<Violation>) {
    read_as_parent(Form::Full, chunks)
}

/// Reads the bytes as a child.
fn read_as_child(chunks: &[&[u8]]) -> (Vec<String>, Option<Violation>) {
    let mut requests = RequestReader::default();
    let mut reader = FrameReader::new(Form::Plain, LIMIT);
    let mut seen = Vec::new();
    for chunk in chunks {
        feed(&mut reader, chunk);
        requests.note_cancels(&mut reader);
        loop {
            match requests.next(&mut reader) {
                Ok(None) => break,
                Ok(Some(request)) => seen.push(match request {
                    Request::Call(id) => format!("call {id} {:02x?}", reader.bytes()),
                    Request::Refuse(id, failure) => format!("refuse {id}: {:?}", failure.code),
                    Request::Cancel(id) => format!("cancel {id}"),
                    Request::Hello(hello) => tell_hello(&hello),
                }),
                Err(violation) => return (seen, Some(violation)),
            }
        }
    }
    (seen, None)
}

/// Feeds the bytes in each way, and compares what is read.
fn check(
    bytes: &str,
    want: &[&str],
    broken: Option<&str>,
    read: impl Fn(&[&[u8]]) -> (Vec<String>, Option<Violation>),
) {
    let bytes = hex(bytes.replace("ff ff 59 42", "f0 ff 59 42").as_str());
    let whole: Vec<&[u8]> = vec![&bytes];
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    let tail = [bytes.as_slice(), &[0, 0, 0]].concat();
    for chunks in [whole, single, vec![&tail]] {
        let (seen, violation) = read(&chunks);
        assert_eq!(seen, want, "{bytes:02x?}");
        match (&violation, broken) {
            (None, None) => {}
            (Some(violation), Some(words)) if violation.0.contains(words) => {}
            _ => panic!("{bytes:02x?}: {violation:?} instead of {broken:?}"),
        }
    }
}

#[test]
fn what_a_child_writes_in_the_plain_form() {
    let table: [(&str, &[&str], Option<&str>); 8] = [
        ("00000001 00000002 aabb", &["1 is [aa, bb]"], None),
        // "debug on", which is too long, and "ok\n".
        (
            "64656275 67206f6e",
            &[],
            Some("it begins with \"debug on\": does the worker print to stdout?"),
        ),
        (
            "6f6b0a00 00000000",
            &[],
            Some("begins with \"ok\\n\": does"),
        ),
        (
            "00000002 00000000  00000001 00000000",
            &["2 is []", "1 is []"],
            None,
        ),
        (
            "00000000 00000001 cc  00000001 00000000",
            &["event [cc]", "1 is []"],
            None,
        ),
        ("00000003 00000000", &[], Some("call 3, which is not open")),
        (
            "00000001 00000000  00000001 00000000",
            &["1 is []"],
            Some("which is not open"),
        ),
        ("10000001 00000000", &[], Some("which is not open")),
    ];
    for (bytes, want, broken) in table {
        check(bytes, want, broken, read_plain);
    }
}

#[test]
fn what_a_child_writes_in_the_full_form() {
    let hello = "hello Child 1 a=b";
    // After hello.
    let table: [(&str, &[&str], Option<&str>); 10] = [
        ("00000001 00000002 aabb", &["1 is [aa, bb]"], None),
        ("00000000 00000001 cc", &["event [cc]"], None),
        ("40000000 00000000", &["ready"], None),
        (
            "10000002 0000000a 0570616e6963 026f68 00",
            &["2 failed: Panic oh"],
            None,
        ),
        (
            "10000001 00000005 02 7878 01 79",
            &["1 failed: Refused y"],
            None,
        ),
        ("10000000 00000008 0570616e6963 01 7a", &["unfit: z"], None),
        ("60000000 00000000", &["retired"], None),
        ("30000001 00000000", &[], Some("kind Cancel")),
        ("70000001 00000000", &[], Some("does not know")),
        ("10000001 00000001 05", &[], Some("")),
    ];
    for (bytes, want, broken) in table {
        let want = [&[hello], want].concat();
        let bytes = format!("{CHILD_HELLO} {bytes}");
        check(&bytes, &want, broken, read_full);
    }
    let again = format!("{CHILD_HELLO} {CHILD_HELLO}");
    check(&again, &[hello], Some("kind Hello"), read_full);
    // Instead of hello.
    let table: [(&str, &[&str], Option<&str>); 5] = [
        (PARENT_HELLO, &[], Some("sends back what it is sent")),
        ("57656c636f6d65", &[], Some("\\\"W")),
        ("00000001 00000000", &[], Some("instead of a hello")),
        ("ff ff 59 42 00000002 43 09", &[], Some("speaks version 9")),
        ("ff ff 59 42 00000002 58 01", &[], Some("role 88")),
    ];
    for (bytes, want, broken) in table {
        let broken = broken.map(|words| words.replace('\\', ""));
        check(bytes, want, broken.as_deref(), read_full);
    }
}

#[test]
fn what_a_parent_writes() {
    let hello = "hello Parent 1 a=b";
    let table: [(&str, &[&str], Option<&str>); 4] = [
        ("00000001 00000002 aabb", &["call 1 [aa, bb]"], None),
        (
            "ffffffff 00000000  30000001 00000000",
            &["call 4294967295 []", "call 805306369 []"],
            None,
        ),
        ("00000000 00000000", &[], Some("id 0")),
        ("00000007 000000c8", &["refuse 7: TooLong"], None),
    ];
    for (bytes, want, broken) in table {
        check(bytes, want, broken, read_as_child);
    }
    // After hello.
    let table: [(&str, &[&str], Option<&str>); 8] = [
        ("00000001 00000001 aa", &["call 1 [aa]"], None),
        ("30000001 00000000", &["cancel 1"], None),
        ("00000000 00000000", &[], Some("id 0")),
        ("10000001 00000000", &[], Some("kind Failed")),
        ("40000000 00000000", &[], Some("kind Ready")),
        ("60000000 00000000", &[], Some("kind Retire")),
        ("90000000 00000000", &[], Some("does not know")),
        (
            "30000001 000000c8",
            &[],
            Some("kind Cancel of 200 bytes, the limit is 0"),
        ),
    ];
    for (bytes, want, broken) in table {
        let want = [&[hello], want].concat();
        check(
            &format!("{PARENT_HELLO} {bytes}"),
            &want,
            broken,
            read_as_child,
        );
    }
    let again = format!("{PARENT_HELLO} {PARENT_HELLO}");
    check(&again, &[hello], Some("kind Hello"), read_as_child);
    check(CHILD_HELLO, &["hello Child 1 a=b"], None, read_as_child);
}

#[test]
fn what_both_sides_write_is_what_the_table_says() {
    let hello = Hello::new(Role::Parent).with("a", "b");
    let mut full = Caller::new(Some(&hello), Vec::new(), WIDE);
    let id = full.call(&mut message(&[0xaa, 0xbb], &[]), ());
    full.cancel(id);
    let want = format!(
        "f{} 00000001 00000002 aabb 30000001 00000000",
        &PARENT_HELLO[1..].replacen("f", "0", 1)
    );
    assert_eq!(written(&full.take_outbox(), 4), hex(&want));
    let mut plain = Caller::new(None, Vec::new(), WIDE);
    let id = plain.call(&mut message(&[0xaa, 0xbb], &[]), ());
    plain.cancel(id);
    assert_eq!(
        written(&plain.take_outbox(), 4),
        hex("00000001 00000002 aabb")
    );

    let replies = ReplyFrames::new(20);
    let mut frame = hex("0000000000000000 aabb");
    replies.message(0x0102_0304, &mut frame).unwrap();
    assert_eq!(frame, hex("01020304 00000002 aabb"));
    assert_eq!(replies.message(1, &mut [0; HEADER + 21]), Err(20));
    assert_eq!(ReplyFrames::ready(), hex("40000000 00000000"));
    let hello = Hello::new(Role::Child).with("a", "b");
    assert_eq!(
        ReplyFrames::hello(&hello),
        hex(&CHILD_HELLO.replacen("ff", "f0", 1))
    );
    let failure = Failure::new(FailureCode::Panic, "oh");
    assert_eq!(
        ReplyFrames::failed(2, &failure),
        hex("10000002 0000000b 0570616e6963 026f68 00 00")
    );
}

/// X80: a frame that is no message has its own limit, which is checked at the header.
#[test]
fn a_frame_that_is_no_message_is_refused_at_its_header() {
    let hello = "hello Child 1 a=b";
    let table = [
        (
            "f0ff5942 00010001",
            "a hello of 65537 bytes, the limit is 65536",
        ),
        (
            "10000001 00100001",
            "a failure of 1048577 bytes, the limit is 1048576",
        ),
        ("10000000 ffffffff", "a failure of 4294967295 bytes"),
        (
            "20000001 00000065",
            "an event of a call of 101 bytes, the limit is 100",
        ),
        (
            "00000000 00000065",
            "an event of 101 bytes, the limit is 100",
        ),
        ("40000000 00000001", "kind Ready of 1 bytes, the limit is 0"),
        (
            "50000001 00000001",
            "kind Descriptors of 1 bytes, the limit is 0",
        ),
        ("60000000 40000000", "kind Retire of 1073741824 bytes"),
        ("30000001 00000001", "kind Cancel of 1 bytes"),
        ("70000001 00000001", "does not know"),
    ];
    for (bytes, broken) in table {
        let bytes = format!("{CHILD_HELLO} {bytes}");
        check(&bytes, &[hello], Some(broken), read_full);
    }
    check("f0ff5942 00010001", &[], Some("65537"), read_full);
    // A parent's may be longer.
    let mut reader = FrameReader::new(Form::Full, LIMIT);
    reader.hello_limit = MAX_PARENT_HELLO;
    feed(&mut reader, &hex("f0ff5942 40000000"));
    assert_eq!(reader.advance(), NextFrame::Short);
    let mut reader = FrameReader::new(Form::Full, LIMIT);
    reader.hello_limit = MAX_PARENT_HELLO;
    feed(&mut reader, &hex("f0ff5942 40000001"));
    assert!(matches!(reader.advance(), NextFrame::TooLong(_)));
}

#[test]
fn lists_have_a_limit() {
    let hello = |strings| Hello::parse(&[b"P\x01".to_vec(), vec![0; strings]].concat());
    assert!(hello(128).is_ok());
    let error = hello(129).unwrap_err();
    assert!(error.0.contains("more than 128 strings"), "{error:?}");
    assert!(Failure::parse(&[0; 16]).is_ok());
    let error = Failure::parse(&[0; 1 << 20]).unwrap_err();
    assert!(error.0.contains("more than 16 strings"), "{error:?}");
    // A name without a value is no field.
    let odd = Hello::parse(b"P\x01\x01a\x01b\x01c").unwrap();
    assert_eq!((odd.field("a"), odd.field("c")), (Some(&b"b"[..]), None));
}

/// X80: a text that would be refused is cut before it is sent.
#[test]
fn long_texts_are_cut_off_by_the_sender() {
    for letter in ["x", "é", "€", "🦀"] {
        for more in 0..4 {
            let text = "-".repeat(more) + &letter.repeat((10 << 20) / letter.len());
            let failure = Failure {
                place: text.clone(),
                backtrace: text.clone(),
                ..Failure::new(FailureCode::Panic, &text)
            };
            let failed = ReplyFrames::failed(2, &failure);
            let mut reader = FrameReader::new(Form::Full, 0);
            for chunk in failed.chunks(READ) {
                assert_eq!(reader.advance(), NextFrame::Short);
                feed(&mut reader, chunk);
            }
            assert!(matches!(reader.advance(), NextFrame::Whole(_)));
            let read = Failure::parse(reader.bytes()).unwrap();
            let note = format!(" … (cut off, of {} bytes)", text.len());
            for part in [&read.message, &read.place, &read.backtrace] {
                let rest = part.strip_suffix(&note).unwrap();
                assert!(text.starts_with(rest) && rest.len() > 4000);
            }
            let frame = ReplyFrames::hello(&Hello::refusal(&text));
            let hello = Hello::parse(&frame[HEADER..]).unwrap();
            assert!(hello.text("error").ends_with(&note));
            assert!(frame.len() < 64 << 10);
        }
    }
    let text = "x".repeat(256 << 10);
    let failed = ReplyFrames::failed(2, &Failure::new(FailureCode::Panic, &text));
    assert_eq!(Failure::parse(&failed[HEADER..]).unwrap().message, text);
    let frame = ReplyFrames::hello(&Hello::new(Role::Child).with("worker", &text));
    let hello = Hello::parse(&frame[HEADER..]).unwrap();
    assert!(hello.text("error").contains("the limit is 65536"));
}

#[test]
fn a_length_is_only_a_claim() {
    for form in FORMS {
        let mut reader = FrameReader::new(form, u32::MAX);
        feed(&mut reader, &hex("00000001 ffffffff"));
        for _ in 0..100 {
            assert_eq!(reader.advance(), NextFrame::Short);
            assert!(reader.room() <= 1 << 20);
            feed(&mut reader, &[0; 4096]);
        }
        assert!(reader.buffer().capacity() <= 2 * (HEADER + 100 * 4096));
    }
}

#[test]
fn a_frame_over_the_limit_is_passed_over_byte_by_byte() {
    for form in FORMS {
        for step in [1, 7, 1000] {
            let mut reader = FrameReader::new(form, 5);
            // The payload holds bytes that look like headers.
            let bytes = [
                hex("00000001 00000120"),
                hex("30000007 00000000").repeat(36),
                hex("00000002 00000001 aa"),
            ];
            let (mut steps, mut last) = (Vec::new(), Vec::new());
            for chunk in bytes.concat().chunks(step) {
                feed(&mut reader, chunk);
                loop {
                    let mut looked = Vec::new();
                    reader.scan(|frame| looked.push(frame.id));
                    assert!(looked.iter().all(|id| [1, 2].contains(id)), "{looked:?}");
                    match reader.advance() {
                        NextFrame::Short => break,
                        step => {
                            steps.push(step);
                            last = reader.bytes().to_vec();
                        }
                    }
                }
                assert!(reader.buffer().capacity() <= 1024);
            }
            let frame = |id, length| Frame {
                kind: Some(FrameKind::Message),
                id,
                length,
            };
            assert_eq!(
                steps,
                [
                    NextFrame::TooLong(frame(1, 0x120)),
                    NextFrame::Whole(frame(2, 1))
                ]
            );
            assert_eq!(last, [0xaa]);
        }
    }
}

#[test]
fn a_large_frame_is_put_together_in_linear_time() {
    const SIZE: usize = 64 << 20;
    let mut reader = FrameReader::new(Form::Full, u32::MAX);
    feed(&mut reader, &hex("00000001 00000000"));
    assert!(matches!(reader.advance(), NextFrame::Whole(_)));
    feed(&mut reader, &Frame::message(2, SIZE).to_bytes());
    let (mut copied, mut place) = (0, (std::ptr::null(), 0));
    while reader.advance() == NextFrame::Short {
        let have = reader.rest().len();
        feed(&mut reader, &[7; 4096][..4096.min(HEADER + SIZE - have)]);
        let buffer = reader.buffer();
        if (buffer.as_ptr(), buffer.capacity()) != place {
            copied += buffer.len();
            place = (buffer.as_ptr(), buffer.capacity());
        }
    }
    assert!(copied <= 3 * SIZE, "{copied} bytes were copied");
    let place = reader.bytes().as_ptr();
    let payload = reader.take();
    assert_eq!(
        (payload.len(), payload.as_ptr()),
        (SIZE, place),
        "handed out uncopied"
    );
    assert!(reader.buffer().capacity() < 1 << 20);
}

#[test]
fn looking_again_and_again_keeps_a_large_buffer() {
    let pool = &mut super::BufferPool::new();
    let mut reader = FrameReader::new(Form::Full, u32::MAX);
    let frame = Frame::message(1, 1 << 20).to_bytes();
    reader.room_in(pool);
    reader.buffer().extend(frame);
    reader.buffer().resize(HEADER + (1 << 20), 7);
    assert!(matches!(reader.advance(), NextFrame::Whole(_)));
    for _ in 0..100 {
        reader.room_in(pool);
        assert!(reader.buffer().capacity() > 1 << 20);
    }
}

fn of_frame(frame: Vec<u8>) -> Message {
    Message {
        frame,
        ..Message::default()
    }
}

#[test]
fn pieces_come_out_of_the_outbox_as_they_went_in() {
    let mut outbox = Outbox::default();
    let mut want = Vec::new();
    for size in [1, 40_000, 5, 5, 100_000, 32_768, 3] {
        let frame = vec![size as u8; size];
        want.extend_from_slice(&frame);
        outbox.push(&mut of_frame(frame));
    }
    let (mut have, mut step) = (Vec::new(), 1);
    while !outbox.is_empty() {
        // A writer takes the outbox, writes some of it, and gives it back.
        let mut taken = std::mem::take(&mut outbox);
        let some = written(&taken, 3);
        let some = &some[..step.min(some.len())];
        have.extend_from_slice(some);
        let count = some.len();
        taken.consume(count);
        if step == 4 {
            outbox.push(&mut of_frame(vec![9; 4]));
            want.extend([9; 4]);
        }
        outbox.put_back(taken);
        assert_eq!(outbox.len(), want.len() - have.len());
        step *= 2;
    }
    assert!(have == want);
}
