//! The standard streams.

use super::{BODY, again, alone, flags_of, pipe, text};
use crate::sys::{set_stdio, set_thread_name, take_stdin, take_stdout};
use nix::fcntl::FdFlag;
use nix::unistd::{read, write};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::process::Stdio;

#[test]
fn stdin_is_moved_away() {
    if std::env::var_os(BODY).is_none() {
        let mut child = again("stdio::stdin_is_moved_away")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"frame").unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && text(&output.stdout).contains("1 passed"));
        return;
    }
    let taken = take_stdin().unwrap();
    assert!(taken.as_raw_fd() > 2 && flags_of(taken.as_raw_fd()) == Some(FdFlag::FD_CLOEXEC));
    let mut buffer = [0; 9];
    assert_eq!(
        read(std::io::stdin(), &mut buffer),
        Ok(0),
        "nothing is left to read"
    );
    assert_eq!(read(&taken, &mut buffer), Ok(5));
    assert_eq!(
        flags_of(0),
        Some(FdFlag::empty()),
        "a child of this child inherits the empty one"
    );
}

/// X33 and G8: printed text goes to stderr.
#[test]
fn stdout_is_moved_away() {
    if std::env::var_os(BODY).is_none() {
        let mut command = again("stdio::stdout_is_moved_away");
        let output = command.stderr(Stdio::piped()).output().unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(
            output.status.success() && out.contains("<frame>") && !out.contains("printed"),
            "{out}"
        );
        assert!(err.contains("printed"), "{err}");
        return;
    }
    let output = take_stdout().unwrap();
    println!("printed");
    write(&output, b"<frame>").unwrap();
    assert_eq!(flags_of(1), Some(FdFlag::empty()));
    assert_eq!(flags_of(output.as_raw_fd()), Some(FdFlag::FD_CLOEXEC));
}

#[test]
fn a_descriptor_becomes_stdin() {
    alone("stdio::a_descriptor_becomes_stdin", || {
        let (read_end, write_end) = pipe();
        write(&write_end, b"chosen").unwrap();
        drop(write_end);
        set_stdio(0, &read_end).unwrap();
        let mut found = String::new();
        std::io::stdin().read_to_string(&mut found).unwrap();
        assert_eq!(
            (found.as_str(), flags_of(0)),
            ("chosen", Some(FdFlag::empty()))
        );
    });
}

#[test]
fn a_thread_has_fifteen_bytes_of_name() {
    std::thread::spawn(|| {
        set_thread_name("0123456789abcdefg").unwrap();
        let name = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
        assert_eq!(name, "0123456789abcde\n");
        set_thread_name("a\0b").unwrap();
        assert_eq!(
            std::fs::read_to_string("/proc/thread-self/comm").unwrap(),
            "a\n"
        );
    })
    .join()
    .unwrap();
}
