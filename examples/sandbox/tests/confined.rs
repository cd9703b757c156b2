//! The abilities of the confined child.

use std::fs;
use std::process::Command;

/// Its output, or `None` if this kernel has no Landlock: then it says so and reads nothing.
fn sandbox(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
    let output = command.args(arguments).env("RUST_BACKTRACE", "1").output();
    let output = output.expect("it runs");
    let text = String::from_utf8(output.stdout).expect("its output is text");
    if text.contains("this kernel has no Landlock") {
        assert!(!text.contains("words in"), "{text}");
        return None;
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    Some(text)
}

const WAYS: [&str; 8] = [
    "--escape", "read", "--escape", "write", "--escape", "connect", "--escape", "run",
];

#[test]
fn it_reads_what_it_is_given_and_nothing_else() {
    let file = std::env::temp_dir().join(format!("offspring-sandbox-{}", std::process::id()));
    // More than a ring holds, so that the link is used in both directions.
    fs::write(&file, "three more words ".repeat(100_000)).expect("a file");
    let path = file.to_str().expect("a path in UTF-8");
    let mut arguments = vec![path];
    arguments.extend(WAYS);
    arguments.extend(["--escape", "panic", path]);
    let text = sandbox(&arguments);
    fs::remove_file(&file).expect("the file exists");
    let Some(text) = text else { return };
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 7, "{text}");
    for line in [lines[0], lines[6]] {
        assert_eq!(line, format!("300000 words in {path}"));
    }
    for line in &lines[1..5] {
        assert_eq!(
            *line, "--escape: Operation not permitted (os error 1)",
            "{text}"
        );
    }
    assert!(lines[5].contains("confined"), "{text}");
}

/// Without seccomp it is Landlock that refuses, with another error.
#[test]
fn landlock_alone_refuses_files() {
    let mut arguments = vec!["--landlock-only"];
    arguments.extend(WAYS);
    let Some(text) = sandbox(&arguments) else {
        return;
    };
    let lines: Vec<_> = text.lines().collect();
    for line in [lines[0], lines[1], lines[3]] {
        assert_eq!(line, "--escape: Permission denied (os error 13)", "{text}");
    }
}
