//! The examples, run as programs. Their output is compared byte by byte.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The formats that `unlink` is built with.
const FORMATS: &[&str] = &[
    "octets",
    #[cfg(feature = "cbor")]
    "cbor",
    #[cfg(feature = "json")]
    "json",
    #[cfg(feature = "messagepack")]
    "messagepack",
    #[cfg(feature = "postcard")]
    "postcard",
];

/// The options by which `unlink` chooses a backend.
const BACKENDS: &[&[&str]] = &[
    &[],
    #[cfg(feature = "concurrent")]
    &["--concurrent"],
];

/// Each format with each backend.
fn formats_and_backends() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    let with = |format| BACKENDS.iter().map(move |backend| (format, *backend));
    FORMATS.iter().copied().flat_map(with)
}

/// Returns the path of an example, whose folder is beside that of the tests.
fn path_of(example: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test is a program");
    let folder = test.parent().and_then(|deps| deps.parent());
    let path = folder
        .expect("it lies in `deps`")
        .join("examples")
        .join(example);
    assert!(
        path.exists(),
        "build the examples first: cargo build --examples"
    );
    path
}

fn example(name: &str) -> Command {
    let mut command = Command::new(path_of(name));
    command.env("RUST_BACKTRACE", "0").stdin(Stdio::null());
    command
}

/// Runs `command` with `stdin`, and returns its output.
fn feed(command: &mut Command, stdin: &[u8]) -> Output {
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the example starts");
    let mut pipe = child.stdin.take().expect("it is piped");
    std::thread::scope(|scope| {
        // The program may exit without reading all of it.
        scope.spawn(move || pipe.write_all(stdin).ok());
        child.wait_with_output().expect("it ends")
    })
}

#[track_caller]
fn assert_output(output: &Output, code: i32, stdout: &[u8], stderr: &[u8]) {
    let show = |octets: &[u8]| octets.escape_ascii().to_string().replace("\\n", "\n");
    assert_eq!(show(&output.stdout), show(stdout), "stdout");
    assert_eq!(show(&output.stderr), show(stderr), "stderr");
    assert_eq!(output.status.code(), Some(code));
}

/// A folder that is removed at the end of a test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("offspring-test-{name}-XXXXXX"));
        Self(nix::unistd::mkdtemp(&path).expect("a new folder"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn hello_says_hello() {
    let mut child = example("hello");
    let output = child.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let pid = text.strip_prefix("Hello, world! This is process ");
    let pid = pid.and_then(|rest| rest.strip_suffix(".\n"));
    pid.expect(&text).parse::<u32>().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
}

#[test]
fn logging_brings_the_records_of_the_child() {
    let output = example("logging").output().unwrap();
    let stderr = b"INFO logging: the child has started\nWARN logging: the worker is being set up\nERROR logging: the worker cannot do that\n";
    assert_output(&output, 0, b"", stderr);
}

#[test]
fn plugin_host_starts_its_plugin_again() {
    let output = example("plugin_host").output().unwrap();
    let stdout = b"the plugin is called capitals\nONE\nTWO\nit died, started: Yes\nTHREE\ntexts of this process: 1\n";
    let stderr = b"INFO plugin: ready\nERROR plugin: there is no text, which was never thought of\nINFO plugin: ready\n";
    assert_output(&output, 0, stdout, stderr);
    let output = example("plugin_host").arg("--old").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains("`plugin_host filter 1`, not `plugin_host filter 2`"),
        "{text}"
    );
}

#[test]
fn pool_survives_a_job_that_kills_its_process() {
    for arguments in [&[][..], &["--children", "1"], &["--children", "3"]] {
        let output = example("pool").args(arguments).output().unwrap();
        let stdout = b"below 100: 97\nbelow 10000: 9973\nbelow a million: its process died, started: Yes\nbelow 1000000: 999983\nbelow 100000000: 99999989\n4 calls answered, 1 child died\n";
        assert_output(&output, 0, stdout, b"");
    }
    let output = example("pool").arg("--children").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output = example("pool").args(["--children", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn descriptors_hands_connections_to_children() {
    let output = example("descriptors").arg("3").output().unwrap();
    let line = |client: u32, child: u32| {
        format!(
            "client {client}: 2 lines: HELLO, I AM {client} (child {child}), GOODBYE (child {child})\n"
        )
    };
    let stdout = [line(0, 1), line(1, 2), line(2, 1)].concat();
    assert_output(&output, 0, stdout.as_bytes(), b"");
    let output = example("descriptors").arg("many").output().unwrap();
    assert_output(
        &output,
        1,
        b"",
        b"Error: usage: descriptors [CLIENTS]\n\nCaused by:\n    invalid digit found in string\n",
    );
}

#[test]
fn own_serialiser_calls_with_each() {
    let output = example("own_serialiser").output().unwrap();
    let stdout = b"PrettyJson: 2, 1\nNumbers: [1.0, 3.0, 6.5]\n";
    assert_output(&output, 0, stdout, b"");
}

#[test]
fn template_counts_once() {
    let output = example("template").output().unwrap();
    let stdout = b"wood: 2\nchuck: 2\nwould: 1\ncoal: 0\n";
    assert_output(&output, 0, stdout, b"");
}

/// Checks the output of `remote`, and returns the process id in it.
#[track_caller]
fn remote_calls(output: &Output) -> u32 {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let start = "remote function returned: this is process ";
    let rest = text.strip_prefix(start).expect("the answer's first words");
    let pid = rest.split_once(',').expect("a process id").0;
    let lines = (1..=10).map(|n| format!("{start}{pid}, and you passed <{n}>\n"));
    assert_eq!(text, lines.collect::<String>());
    pid.parse().expect("a number")
}

#[test]
fn remote_starts_itself() {
    remote_calls(&example("remote").output().unwrap());
}

#[test]
fn remote_starts_a_command() {
    let own = path_of("remote");
    let mut remote = example("remote");
    remote.arg("--").arg(&own).arg("--serve");
    remote_calls(&remote.output().unwrap());
    let mut remote = example("remote");
    let script = "echo $$ >&3; cat | \"$0\" --serve | cat";
    let note = Folder::new("remote");
    let shell = format!("exec 3> '{}'; {script}", note.0.join("pid").display());
    remote.args(["--", "sh", "-c"]).arg(shell).arg(&own);
    let worker = remote_calls(&remote.output().unwrap());
    let shell = fs::read_to_string(note.0.join("pid")).unwrap();
    assert_ne!(shell.trim(), worker.to_string());
}

#[test]
fn remote_explains_its_usage() {
    for arguments in [&["--odd"][..], &["--serve", "x"]] {
        let output = example("remote").args(arguments).output().unwrap();
        assert_usage(&output, "usage: remote");
    }
    let output = example("remote").args(["--", "/nowhere/ssh"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("/nowhere/ssh"), "{stderr}");
}

#[cfg(feature = "cbor")]
#[test]
fn service_shows_all_of_a_service() {
    let output = example("service").output().unwrap();
    let words = "the first word: one\n";
    let expected = format!(
        "{words}page 1 of 3\npage 2 of 3\npage 3 of 3\n`two` occurs 3 times\ntrue\nNone\n{words}one, two\ntwo, three\ntwo\n"
    );
    assert_output(&output, 0, expected.as_bytes(), b"");
}

#[cfg(feature = "concurrent")]
mod concurrent {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn the_countdown_that_was_started_last_is_finished_first() {
        let stdout = b"starting to count up to 3\n\
            starting to count up to 2\n\
            starting to count up to 1\n\
            count 1 of 3\n\
            count 1 of 2\n\
            count 1 of 1\n\
            job 1 finished\n\
            count 2 of 3\n\
            count 2 of 2\n\
            job 2 finished\n\
            count 3 of 3\n\
            job 3 finished\n";
        let output = example("countdown").arg("--fast").output().unwrap();
        assert_output(&output, 0, stdout, b"");
        let output = example("countdown").arg("x").output();
        assert_usage(&output.unwrap(), "usage: countdown");
    }

    #[test]
    fn arith_calls_by_name() {
        let output = example("arith").output().unwrap();
        assert_output(&output, 0, b"4\n6\n", b"");
    }

    #[test]
    fn cancel_frees_the_child() {
        let start = Instant::now();
        let output = example("cancel").output().unwrap();
        assert_output(&output, 0, b"timed out\nstill here\n", b"");
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn polyglot_sleeps_hold_up_no_call() {
        for form in FORMS {
            let calls = b"sleep 300\nsleep 100\necho at once\n";
            let output = feed(&mut polyglot(form, path_of("polyglot_worker")), calls);
            let stdout = b"3: at once\n2: slept 100\n1: slept 300\n";
            assert_output(&output, 0, stdout, b"");
        }
    }
}

#[test]
fn unlink_removes_whatever_its_name() {
    for (format, backend) in formats_and_backends() {
        let folder = Folder::new(&format!("unlink-{format}"));
        let odd = OsString::from_vec(b"caf\xe9\xff \"\n".to_vec());
        fs::create_dir(folder.0.join("folder")).unwrap();
        fs::write(folder.0.join("folder/file"), "").unwrap();
        fs::write(folder.0.join(&odd), "").unwrap();
        symlink("folder", folder.0.join("link")).unwrap();
        symlink("nowhere", folder.0.join("dangling")).unwrap();
        let mut unlink = example("unlink");
        unlink.current_dir(&folder.0).args(backend);
        unlink.args(["--serialiser", format]);
        unlink.args(["link", "dangling"]).arg(&odd);
        unlink.args(["folder/file", "folder"]);
        let output = unlink.output().unwrap();
        assert_output(&output, 0, b"", b"3 requests handled\n");
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0, "{format}");
    }
}

#[test]
fn unlink_tells_failures_and_events_in_the_childs_order() {
    for (format, backend) in formats_and_backends() {
        let folder = Folder::new(&format!("order-{format}"));
        fs::create_dir(folder.0.join("full")).unwrap();
        fs::write(folder.0.join("full/file"), "").unwrap();
        let mut unlink = example("unlink");
        unlink.current_dir(&folder.0).args(backend);
        unlink.args(["--serialiser", format]);
        unlink.args(["1", "full", "3", "full/file/4", "5"]);
        unlink.arg(OsString::from_vec(b"\xff6".to_vec()));
        unlink.args(["--", "--7", "--serialiser", ""]);
        let stderr = b"1: No such file or directory\n\
            full: Directory not empty\n\
            3 requests handled\n\
            3: No such file or directory\n\
            full/file/4: Not a directory\n\
            5: No such file or directory\n\
            6 requests handled\n\
            \xff6: No such file or directory\n\
            --7: No such file or directory\n\
            --serialiser: No such file or directory\n\
            9 requests handled\n\
            : No such file or directory\n";
        assert_output(&unlink.output().unwrap(), 1, b"", stderr);
    }
}

#[test]
fn unlink_keeps_the_order_of_many() {
    for backend in BACKENDS {
        let folder = Folder::new("many");
        let mut unlink = example("unlink");
        unlink.current_dir(&folder.0).args(*backend);
        let mut stderr = String::new();
        for n in 1..=3000 {
            unlink.arg(n.to_string());
            if n % 3 == 0 {
                stderr += &format!("{n} requests handled\n");
            }
            stderr += &format!("{n}: No such file or directory\n");
        }
        assert_output(&unlink.output().unwrap(), 1, b"", stderr.as_bytes());
    }
}

#[test]
fn unlink_makes_a_tree_if_it_is_given_none() {
    let folder = Folder::new("tree");
    let mut unlink = example("unlink");
    let output = unlink.env("TMPDIR", &folder.0).output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stderr, b"3 requests handled\n");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.lines().count() > 3, "{stdout}");
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
}

#[test]
fn unlink_explains_its_usage() {
    let cases: [(&[&str], &str); 4] = [
        (&["--serialiser"], "'--serialiser'"),
        (&["--serialiser", "xml", "x"], "no serialiser `xml`"),
        (&["--verbose"], "invalid option '--verbose'"),
        (&["x", "-v"], "invalid option '-v'"),
    ];
    for (arguments, text) in cases {
        let output = example("unlink").args(arguments).output().unwrap();
        assert_usage(&output, text);
    }
    if BACKENDS.len() == 1 {
        let output = example("unlink").arg("--concurrent").output().unwrap();
        assert_usage(&output, "the feature `concurrent`");
    }
    for format in ["cbor", "json", "messagepack", "postcard"] {
        if !FORMATS.contains(&format) {
            let arguments = ["--serialiser", format, "x"];
            let output = example("unlink").args(arguments).output().unwrap();
            assert_usage(
                &output,
                &format!("no serialiser `{format}`: is it a feature"),
            );
        }
    }
}

#[track_caller]
fn assert_usage(output: &Output, text: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(text), "{stderr}");
    assert!(output.stdout.is_empty());
}

/// The parent of `polyglot`, which starts `worker`.
fn polyglot(options: &[&str], worker: impl AsRef<OsStr>) -> Command {
    let mut parent = example("polyglot_parent");
    parent.args(options).arg("--").arg(worker);
    parent
}

const FORMS: [&[&str]; 2] = [&[], &["--plain"]];

#[test]
fn polyglot_answers_in_both_forms() {
    for form in FORMS {
        let calls = b"echo a  b\tc\xff \necho\nevent 2\n\tevent 0\necho last\nsleep 1";
        let output = feed(&mut polyglot(form, path_of("polyglot_worker")), calls);
        let stdout = b"1: a b c\xff\n\
            2: \n\
            event: event 1\n\
            event: event 2\n\
            3: done\n\
            4: done\n\
            5: last\n\
            6: slept 1\n";
        assert_output(&output, 0, stdout, b"");
    }
}

#[test]
fn polyglot_worker_tells_its_process_id() {
    for form in FORMS {
        let output = feed(&mut polyglot(form, path_of("polyglot_worker")), b"pid\n");
        let stdout = String::from_utf8(output.stdout).unwrap();
        let pid = stdout.strip_prefix("1: ").expect("an answer");
        pid.trim_end().parse::<u32>().unwrap();
    }
}

#[test]
fn polyglot_calls_fail_one_by_one() {
    let calls = b"\nfly\npanic so bad\nsleep\nsleep soon\nevent -1\nexit 256\nexit\necho on\n";
    let output = feed(&mut polyglot(&[], path_of("polyglot_worker")), calls);
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let (failed, last) = stdout.split_at(stdout.find("9: on").expect("an answer"));
    let texts = [
        "no function",
        "`fly`",
        "so bad",
        "missing",
        "`soon`",
        "`-1`",
        "`256`",
        "missing",
    ];
    assert_eq!(failed.lines().count(), texts.len(), "{stdout}");
    for ((line, text), n) in failed.lines().zip(texts).zip(1..) {
        assert!(line.starts_with(&format!("{n}: error: ")), "{line}");
        assert!(line.contains(text), "{line}");
    }
    assert_eq!(last, "9: on\n");
}

#[test]
fn polyglot_finished_answers_come_before_the_end() {
    for form in FORMS {
        let calls = b"echo before\nevent 1\nexit 7\necho after\n";
        let output = feed(&mut polyglot(form, path_of("polyglot_worker")), calls);
        assert_eq!(output.status.code(), Some(1));
        let stdout = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = stdout.lines().collect();
        assert_eq!(lines[..3], ["1: before", "event: event 1", "2: done"]);
        for (line, n) in lines[3..].iter().zip(3..) {
            assert!(line.starts_with(&format!("{n}: error: ")), "{line}");
            assert!(line.contains("exited with code 7"), "{line}");
        }
        assert_eq!(lines.len(), 5);
        let note = b"polyglot_parent: the worker exited with code 7\n";
        assert_eq!(output.stderr, note);
    }
}

#[test]
fn polyglot_plain_child_ends_with_a_failed_call() {
    let calls = b"echo before\nfly\n";
    let output = feed(
        &mut polyglot(&["--plain"], path_of("polyglot_worker")),
        calls,
    );
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.starts_with("1: before\n2: error: "), "{stdout}");
    assert!(stdout.contains("exited with code 101"), "{stdout}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("no function `fly`"), "{stderr}");
}

#[test]
fn polyglot_end_of_input_is_a_good_end() {
    let output = feed(&mut example("polyglot_worker"), b"");
    assert_output(&output, 0, b"", b"");
    for form in FORMS {
        let output = feed(&mut polyglot(form, path_of("polyglot_worker")), b"");
        assert_output(&output, 0, b"", b"");
    }
}

#[test]
fn polyglot_finds_out_what_is_no_worker() {
    let cases = [
        ("cat", "sends back what it is sent"),
        ("true", "without a hello"),
        ("yes", "instead of a hello came"),
    ];
    for (command, text) in cases {
        let output = feed(&mut polyglot(&[], command), b"echo a\n");
        assert_eq!(output.status.code(), Some(1), "{command}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(stdout.starts_with("1: error: "), "{command}: {stdout}");
        assert!(stdout.contains(text), "{command}: {stdout}");
        assert_eq!(stdout.lines().count(), 1);
    }
}

#[test]
fn polyglot_takes_the_plain_form_at_its_word() {
    // In the plain form an echo of a call is a valid answer.
    let output = feed(&mut polyglot(&["--plain"], "cat"), b"a b\n\n");
    assert_output(&output, 0, b"1: a b\n2: \n", b"");
    let output = feed(&mut polyglot(&["--plain"], "true"), b"a b\n");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.starts_with("1: error: "), "{stdout}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn polyglot_explains_its_usage() {
    let output = polyglot(&[], "/nowhere/worker").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("/nowhere/worker"), "{stderr}");
    for arguments in [&[][..], &["--"], &["--plain"], &["--odd", "--", "true"]] {
        let output = example("polyglot_parent").args(arguments).output();
        assert_usage(&output.unwrap(), "usage: polyglot_parent");
    }
    let output = example("polyglot_worker").arg("x").output();
    assert_usage(&output.unwrap(), "polyglot_worker: ");
}

#[test]
fn polyglot_sends_many_calls() {
    for form in FORMS {
        let calls = (1..=2000).map(|n| format!("echo {n}\n"));
        let answers = (1..=2000).map(|n| format!("{n}: {n}\n"));
        let calls = calls.collect::<String>().into_bytes();
        let output = feed(&mut polyglot(form, path_of("polyglot_worker")), &calls);
        let answers = answers.collect::<String>();
        assert_output(&output, 0, answers.as_bytes(), b"");
    }
}

/// The figures depend on the machine, so only the form of the output is checked. The program checks its bytes itself.
#[test]
fn large_says_how_long_it_took() {
    let output = example("large").arg("2").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[0], "2 MiB, inverted 10 times");
    for (line, how) in lines[1..]
        .iter()
        .zip(["in shared memory: ", "through the socket: "])
    {
        let (seconds, speed) = line.strip_prefix(how).unwrap().split_once(" s, ").unwrap();
        let speed = speed.strip_suffix(" GiB/s").unwrap();
        for number in [seconds, speed] {
            // On a slow machine the speed may be shown as 0.00.
            assert!(number.parse::<f64>().unwrap() >= 0.0, "{line}");
        }
    }
}
