//! The vectors in `docs/protocol.md`, tried with a real worker.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

const DOCUMENT: &str = include_str!("../docs/protocol.md");

/// A word of a vector.
#[derive(Debug)]
enum Word {
    Bytes(Vec<u8>),
    /// Any four bytes.
    Number,
    /// Any byte string.
    AnyString,
}

#[derive(Debug, Default)]
struct Vector {
    line: usize,
    parent: Vec<u8>,
    child: Vec<Word>,
    exit: Option<i32>,
}

fn vectors() -> Vec<Vector> {
    let mut vectors = Vec::new();
    let mut open: Option<Vector> = None;
    for (line, text) in (1..).zip(DOCUMENT.lines()) {
        match (&mut open, text) {
            (None, "```vector") => {
                open = Some(Vector {
                    line,
                    ..Vector::default()
                })
            }
            (Some(_), "```") => vectors.extend(open.take()),
            (Some(vector), text) => vector.read(text),
            (None, _) => {}
        }
    }
    vectors
}

impl Vector {
    fn read(&mut self, text: &str) {
        let text = text.split('#').next().unwrap_or_default();
        let (side, rest) = text.trim().split_once(' ').expect("a side and bytes");
        match side {
            "exit" => self.exit = rest.trim().parse().ok(),
            "child" => self.child.extend(words(rest)),
            "parent" => {
                for word in words(rest) {
                    let Word::Bytes(bytes) = word else {
                        panic!("line {}: a parent's bytes are all known", self.line)
                    };
                    self.parent.extend(bytes);
                }
            }
            other => panic!("line {}: what is `{other}`?", self.line),
        }
    }
}

/// Splits a line into words. Texts in it have no spaces.
fn words(line: &str) -> impl Iterator<Item = Word> {
    line.split_whitespace().map(|word| match word {
        "<u32>" => Word::Number,
        "<string>" => Word::AnyString,
        text if text.starts_with('"') => Word::Bytes(text.trim_matches('"').into()),
        digits => Word::Bytes(
            (0..digits.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits"))
                .collect(),
        ),
    })
}

/// Returns the bytes behind the word.
fn behind<'a>(word: &Word, bytes: &'a [u8]) -> Option<&'a [u8]> {
    match word {
        Word::Bytes(known) => bytes.strip_prefix(known.as_slice()),
        Word::Number => bytes.get(4..),
        Word::AnyString => {
            let groups = 1 + bytes.iter().position(|byte| byte & 0x80 == 0)?;
            let (length, rest) = bytes.split_at(groups);
            let length = length
                .iter()
                .fold(0, |length, octet| length << 7 | usize::from(octet & 0x7f));
            rest.get(length..)
        }
    }
}

fn worker() -> PathBuf {
    let test = std::env::current_exe().expect("a test is a program");
    let folder = test.parent().and_then(|deps| deps.parent());
    folder
        .expect("it lies in `deps`")
        .join("examples/polyglot_worker")
}

/// Feeds bytes to the worker, all at once or one by one. Returns its output and its exit code.
fn converse(bytes: &[u8], piece: usize) -> (Vec<u8>, Option<i32>) {
    let mut child = Command::new(worker())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("build the examples first: cargo build --examples");
    let mut stdin = child.stdin.take().expect("it is piped");
    for piece in bytes.chunks(piece) {
        // A worker that exits early does not read the rest.
        let _ = stdin.write_all(piece);
    }
    drop(stdin);
    let mut answer = Vec::new();
    let mut stdout = child.stdout.take().expect("it is piped");
    stdout.read_to_end(&mut answer).expect("it can be read");
    (answer, child.wait().expect("it ends").code())
}

fn check(vector: &Vector, piece: usize) {
    let (answer, code) = converse(&vector.parent, piece);
    let mut rest = answer.as_slice();
    for word in &vector.child {
        rest = behind(word, rest).unwrap_or_else(|| {
            panic!(
                "line {}: wanted {word:x?}, came \"{}\"\nof \"{}\"",
                vector.line,
                rest.escape_ascii(),
                answer.escape_ascii()
            )
        });
    }
    assert!(rest.is_empty(), "line {}: too much: {rest:x?}", vector.line);
    assert_eq!(code, vector.exit, "line {}", vector.line);
}

#[test]
fn the_vectors_are_what_happens() {
    let vectors = vectors();
    assert!(vectors.len() >= 8, "{} vectors found", vectors.len());
    for vector in vectors {
        check(&vector, usize::MAX);
    }
}

/// The size of the pieces changes nothing, except that a cancel may come in time.
#[test]
fn the_vectors_may_come_byte_by_byte() {
    let cancel = [0x30, 0, 0, 2, 0, 0, 0, 0];
    for vector in vectors() {
        if !vector.parent.windows(8).any(|bytes| bytes == cancel) {
            check(&vector, 1);
        }
    }
}
