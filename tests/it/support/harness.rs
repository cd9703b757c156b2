//! A harness for tests that a machine may lack something for: such a test is ignored, with the reason. If
//! `OFFSPRING_TEST_REQUIRE` names what a test needs, separated by commas, the test fails instead.
//!
//! The standard harness can ignore tests at compile time only.

use std::collections::BTreeMap;
use std::io::Write;
use std::thread;

/// Name, requirement and function of a test.
pub(crate) type Test = (&'static str, &'static str, fn());

macro_rules! tests {
    ($($needs:literal: $file:ident { $($test:ident)* })*) => {
        &[$($((concat!(stringify!($file), "::", stringify!($test)), $needs, $file::$test as fn())),*),*]
    };
}
pub(crate) use tests;

/// Options that are followed by a value.
const WITH_VALUE: &[&str] = &["--format", "--color", "--skip", "--test-threads", "-Z"];

/// The arguments that Cargo and nextest pass to a test binary.
#[derive(Debug, Default)]
struct Arguments {
    names: Vec<String>,
    options: Vec<String>,
    skipped: Vec<String>,
}

impl Arguments {
    fn new(arguments: impl Iterator<Item = String>) -> Self {
        let mut own = Self::default();
        let mut rest = arguments;
        while let Some(word) = rest.next() {
            let value = match WITH_VALUE.contains(&word.as_str()) {
                true => rest.next(),
                false => None,
            };
            match value {
                Some(value) if word == "--skip" => own.skipped.push(value),
                Some(_) => {}
                None if word.starts_with('-') => own.options.push(word),
                None => own.names.push(word),
            }
        }
        own
    }

    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|own| own == option)
    }

    /// Returns whether a test of this name is asked for. `--ignored` asks for tests that are always ignored: none is.
    fn want(&self, name: &str) -> bool {
        let is_meant = |part: &String| match self.has("--exact") {
            true => name == part,
            false => name.contains(part),
        };
        let is_named = self.names.is_empty() || self.names.iter().any(is_meant);
        is_named && !self.skipped.iter().any(is_meant) && !self.has("--ignored")
    }
}

/// The results of the tests.
#[derive(Debug, Default)]
struct Counts {
    passed: u32,
    failed: u32,
    ignored: u32,
}

/// Runs the tests that the arguments of this process ask for, one after the other, or lists them. `attempt` returns
/// whether this machine has what a test needs. Returns whether none has failed.
pub(crate) fn run(all: &[Test], mut attempt: impl FnMut(&str) -> Result<(), String>) -> bool {
    let arguments = Arguments::new(std::env::args().skip(1));
    let tests: Vec<_> = all
        .iter()
        .filter(|(name, ..)| arguments.want(name))
        .collect();
    if arguments.has("--list") {
        tests.iter().for_each(|(name, ..)| println!("{name}: test"));
        return true;
    }
    println!("\nrunning {} tests", tests.len());
    let (mut attempts, mut counts) = (BTreeMap::new(), Counts::default());
    for (name, needs, test) in &tests {
        print!("test {name} ... ");
        std::io::stdout().flush().unwrap();
        let is_there = attempts.entry(needs).or_insert_with(|| match needs {
            &"" => Ok(()),
            needs => attempt(needs),
        });
        println!("{}", run_one(name, needs, *test, is_there, &mut counts));
    }
    let result = if counts.failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {result}. {} passed; {} failed; {} ignored; 0 measured; {} filtered out\n",
        counts.passed,
        counts.failed,
        counts.ignored,
        all.len() - tests.len()
    );
    counts.failed == 0
}

/// Runs a test in a thread of its name, and returns what came of it.
fn run_one(
    name: &str,
    needs: &str,
    test: fn(),
    is_there: &Result<(), String>,
    counts: &mut Counts,
) -> String {
    let required = std::env::var("OFFSPRING_TEST_REQUIRE").unwrap_or_default();
    if let Err(reason) = is_there {
        if !required.split(',').any(|own| own == needs) {
            counts.ignored += 1;
            return format!("ignored, there is no `{needs}`: {reason}");
        }
        counts.failed += 1;
        return format!("FAILED: `{needs}` is required: {reason}");
    }
    let running = thread::Builder::new().name(name.into()).spawn(test);
    if running.unwrap().join().is_err() {
        counts.failed += 1;
        return "FAILED".into();
    }
    counts.passed += 1;
    "ok".into()
}

/// Asks this program for its tests, as nextest does. The answers are lists: no test is run.
pub(crate) fn nextest_finds_them() {
    let list = |arguments: &[&str]| {
        let mut own = std::process::Command::new(std::env::current_exe().unwrap());
        let output = own.arg("--list").args(arguments).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let line = "harness::nextest_finds_them: test\n";
    let all = list(&["--format", "terse"]);
    assert!(all.lines().count() > 1 && all.contains(line), "{all}");
    assert_eq!(list(&["--format", "terse", "--ignored"]), "");
    let exact = ["--exact", "harness::nextest_finds_them", "--nocapture"];
    assert_eq!(list(&exact), line);
    let others = list(&["--skip", "nextest"]);
    assert!(others.lines().count() == all.lines().count() - 1 && !others.contains(line));
}
