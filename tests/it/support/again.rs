//! A test in a separate process: this test binary, told to run that test only.

use std::any::type_name;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::guard;

const TOLD: &str = "OFFSPRING_TEST_TOLD";

/// Returns the name of a test from the type of its function, or of a closure in it.
fn name_of<F>(_: &F) -> &'static str {
    let path = type_name::<F>().trim_end_matches("::{{closure}}");
    path.split_once("::").unwrap().1
}

/// Returns the command of this test binary with only this test, and `told` in a variable.
pub(crate) fn again<F>(test: &F, told: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name_of(test), "--exact", "--nocapture"]);
    command.env(TOLD, told).stdin(Stdio::null());
    // The message of its panic is what is looked for in its output.
    command.env("RUST_BACKTRACE", "0");
    command
}

/// Returns the command of a test that is run again, with these words in place of the program.
pub(crate) fn with_words(words: &[&OsStr], inner: &Command) -> Command {
    let mut outer = Command::new(words[0]);
    outer.args(&words[1..]).args(inner.get_args());
    outer.envs(
        inner
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    outer
}

/// Returns the text that the starter of this process passed. `None` outside such a process.
pub(crate) fn told() -> Option<String> {
    std::env::var(TOLD).ok()
}

/// Runs such a process until it exits.
#[track_caller]
pub(crate) fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let passed = output.status.success() && text.contains("1 passed");
    assert!(passed, "{}\n{text}\n{errors}", output.status);
}

/// Runs the body of a test in a separate process, because it changes the state of the process.
pub(crate) fn alone<F: FnOnce()>(body: F) {
    if told().is_some() {
        return body();
    }
    let _guard = guard();
    succeeds(&mut again(&body, ""));
}

/// A process between this one and its children, which the test kills.
pub(crate) struct Middle(Child, Lines<BufReader<ChildStdout>>);

impl Middle {
    pub(crate) fn start<F>(test: &F, told: &str) -> Self {
        let mut process = again(test, told).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self(process, lines)
    }

    /// Returns the numbers that it prints behind this word.
    pub(crate) fn says(&mut self, word: &str) -> Vec<u32> {
        let mut lines = self.1.by_ref().map_while(Result::ok);
        let numbers = lines.find_map(|line| line.split_once(word).map(|(_, rest)| rest.to_owned()));
        let numbers = numbers.unwrap();
        numbers
            .split_whitespace()
            .map(|number| number.parse().unwrap())
            .collect()
    }

    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
