//! The output of the program.

use std::path::PathBuf;
use std::process::Command;

#[test]
fn it_counts_the_lines_of_each_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |n| folder.path().join(format!("{n}.txt"));
    let files: Vec<_> = (0..200).map(path).collect();
    for (n, file) in files.iter().enumerate().filter(|(n, _)| n % 50 != 7) {
        std::fs::write(file, "x\n".repeat(n % 30)).unwrap();
    }
    let mut map = Command::new(env!("CARGO_BIN_EXE_map"));
    let output = map.args(&files).output().unwrap();
    let line = |(n, file): (usize, &PathBuf)| match n % 50 {
        7 => format!(
            "{}: No such file or directory (os error 2)\n",
            file.display()
        ),
        _ => format!("{}: {} lines\n", file.display(), n % 30),
    };
    let stdout: String = files.iter().enumerate().map(line).collect();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), stdout);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(output.status.success());
}

#[test]
fn it_wants_files() {
    let mut map = Command::new(env!("CARGO_BIN_EXE_map"));
    let output = map.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("Usage: map <FILE>..."), "{stderr}");
    assert_eq!(output.status.code(), Some(2));
}
