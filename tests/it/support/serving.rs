//! This test binary as another program, which serves one worker.

use std::io::{Read, Write};
use std::process::Command;

use offspring::worker;

use super::WORK;
use super::pooled::POOLED;

worker!(pub(crate) TEXTS: fn(String) -> String = |text: String| text, name = "it::peer");

/// Returns the command of this test binary as a program that serves one worker.
pub(crate) fn serving(worker: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--serve", worker]);
    command
}

/// Runs as the other program, if this process was started for that.
pub(crate) fn serve_if_asked(others: impl FnOnce(&str)) {
    let arguments: Vec<_> = std::env::args().collect();
    if arguments.get(1).map(String::as_str) != Some("--serve") {
        return;
    }
    match arguments[2].as_str() {
        "work" => WORK.serve(),
        "texts" => TEXTS.serve(),
        "pooled" => POOLED.serve(),
        "noise" => {
            std::io::stdout().write_all(&[b'#'; 1 << 20]).unwrap();
            WORK.serve()
        }
        // Like `sleep`, without another process.
        "silence" => loop {
            std::thread::park();
        },
        // A worker of a later version, whose hello has an unknown layout.
        "later" => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(&hello(b'C', 2, &["new", "x"])).unwrap();
            stdout.flush().unwrap();
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            std::process::exit(101)
        }
        "leave" => std::process::exit(0),
        other => others(other),
    }
}

/// Returns a hello: kind 15, role, version, strings.
pub(crate) fn hello(role: u8, version: u8, strings: &[&str]) -> Vec<u8> {
    let mut payload = vec![role, version];
    for text in strings {
        payload.push(text.len() as u8);
        payload.extend_from_slice(text.as_bytes());
    }
    let mut frame = 0xf0ff_5942_u32.to_be_bytes().to_vec();
    frame.extend((payload.len() as u32).to_be_bytes());
    frame.extend(payload);
    frame
}
