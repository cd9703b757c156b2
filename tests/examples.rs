//! The examples, run as programs: what they print is fixed, octet by octet.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The formats that `unlink` was built with.
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

/// Examples lie beside the folder of the tests.
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

/// Runs a command with this as its stdin.
fn feed(command: &mut Command, stdin: &[u8]) -> Output {
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the example starts");
    let mut pipe = child.stdin.take().expect("it is piped");
    std::thread::scope(|scope| {
        // It may end without having read everything.
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

/// A folder for one test, gone afterwards.
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
fn map_counts_the_lines_of_each_file() {
    let folder = Folder::new("map");
    let text = |lines: usize| "x\n".repeat(lines);
    let files: Vec<_> = (0..200)
        .map(|n| folder.0.join(format!("{n}.txt")))
        .collect();
    for (n, file) in files.iter().enumerate().filter(|(n, _)| n % 50 != 7) {
        fs::write(file, text(n % 30)).unwrap();
    }
    let output = example("map").args(&files).output().unwrap();
    let line = |(n, file): (usize, &PathBuf)| match n % 50 {
        7 => format!(
            "{}: No such file or directory (os error 2)\n",
            file.display()
        ),
        _ => format!("{}: {} lines\n", file.display(), n % 30),
    };
    let stdout: String = files.iter().enumerate().map(line).collect();
    assert_output(&output, 0, stdout.as_bytes(), b"");
    assert_usage(&example("map").output().unwrap(), "usage: map FILE...");
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
        b"Error: \"usage: descriptors [CLIENTS]\"\n",
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

/// What it prints, and the one process id in it.
#[track_caller]
fn remote_calls(output: &Output) -> u32 {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let start = "remote function returned: this is process ";
    let rest = text.strip_prefix(start).expect("its words");
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
    for arguments in [&["--"][..], &["x"], &["--serve", "x"]] {
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
        "{words}page 1 of 3\npage 2 of 3\npage 3 of 3\n`two` is there 3 times\ntrue\nNone\n{words}one, two\ntwo, three\ntwo\n"
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
    fn polyglot_sleeps_hold_up_nobody() {
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
        (&["--serialiser"], "wants a name"),
        (&["--serialiser", "xml", "x"], "no serialiser `xml`"),
        (&["--verbose"], "no option `--verbose`"),
        (&["x", "-v"], "no option `-v`"),
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
            assert_usage(&output, &format!("the feature `{format}`"));
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

/// The polyglot parent with this worker.
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
    // An echo of a call is an answer in the plain form: nothing tells them apart.
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
    for arguments in [
        &[][..],
        &["--"],
        &["--plain"],
        &["true"],
        &["--odd", "--", "true"],
    ] {
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

/// What it measures is the machine's affair; what it says is checked, and it checks its octets itself.
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
            assert!(number.parse::<f64>().unwrap() > 0.0, "{line}");
        }
    }
}

/// A PNG image with 8 bits a sample, which are these over and over.
fn paint(path: PathBuf, (width, height): (u32, u32), color: png::ColorType, samples: &[u8]) {
    let file = fs::File::create(path).unwrap();
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(color);
    let mut writer = encoder.write_header().unwrap();
    let count = width as usize * height as usize * color.samples();
    let octets: Vec<_> = samples.iter().copied().cycle().take(count).collect();
    writer.write_image_data(&octets).unwrap();
}

/// Its size, and its octets.
fn look_at(path: PathBuf) -> ((u32, u32), Vec<u8>) {
    let file = std::io::BufReader::new(fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut octets = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut octets).unwrap();
    (reader.info().size(), octets)
}

/// A folder of pictures, none of which has anything wrong with it.
fn good_pictures(folder: &Folder) -> PathBuf {
    let from = folder.0.join("from");
    fs::create_dir(&from).unwrap();
    let paint = |name, size, color, pixel: &[u8]| paint(from.join(name), size, color, pixel);
    paint("wide.png", (640, 480), png::ColorType::Rgb, &[9, 99, 199]);
    paint("tall", (3, 900), png::ColorType::Rgba, &[200, 100, 0, 128]);
    paint("small.png", (5, 4), png::ColorType::Grayscale, &[77]);
    fs::create_dir(from.join("folder")).unwrap();
    from
}

fn assert_good_thumbnails(to: &std::path::Path) {
    let wide = [9, 99, 199].repeat(128 * 96);
    assert_eq!(look_at(to.join("wide.png")), ((128, 96), wide));
    let tall = [200, 100, 0, 128].repeat(128);
    assert_eq!(look_at(to.join("tall")), ((1, 128), tall));
    assert_eq!(look_at(to.join("small.png")), ((5, 4), vec![77; 20]));
}

#[test]
fn thumbnails_makes_them() {
    let folder = Folder::new("thumbnails");
    let from = good_pictures(&folder);
    // Half of the light is there, which is more than half of the number.
    let grey = png::ColorType::Grayscale;
    paint(from.join("stripes"), (256, 256), grey, &[0, 255]);
    for jobs in ["1", "3"] {
        let to = folder.0.join("to").join(jobs);
        let mut thumbnails = example("thumbnails");
        let output = thumbnails.args(["--jobs", jobs]).arg(&from).arg(&to);
        let output = output.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert_eq!(output.stdout, b"4 made, 0 failed\n");
        for words in (1..=4).map(|n| format!("[{n}/4] ")) {
            assert_eq!(stderr.matches(&words).count(), 1, "{stderr}");
        }
        assert!(stderr.contains("tall has 3 x 900 pixels\n"), "{stderr}");
        assert_good_thumbnails(&to);
        let stripes = vec![188; 128 * 128];
        assert_eq!(look_at(to.join("stripes")), ((128, 128), stripes));
        assert_eq!(fs::read_dir(&to).unwrap().count(), 4);
    }
}

#[test]
fn thumbnails_goes_on_when_a_picture_kills_its_child() {
    let folder = Folder::new("crash");
    let from = good_pictures(&folder);
    let grey = png::ColorType::Grayscale;
    let paint = |name| paint(from.join(name), (64, 64), grey, &[255]);
    ["crash a", "crash b", "spin", "cut"]
        .into_iter()
        .for_each(paint);
    let whole = fs::read(from.join("cut")).unwrap();
    fs::write(from.join("cut"), &whole[..whole.len() / 2]).unwrap();
    fs::write(from.join("text"), "no picture at all").unwrap();
    // A few octets that want gigabytes.
    let file = fs::File::create(from.join("huge")).unwrap();
    let mut encoder = png::Encoder::new(file, 40_000, 40_000);
    encoder.set_color(png::ColorType::Rgba);
    let mut writer = encoder.write_header().unwrap();
    writer.write_chunk(png::chunk::IDAT, &[0x78, 0x9c]).unwrap();
    drop(writer);
    for jobs in ["1", "3"] {
        let to = folder.0.join("to").join(jobs);
        let mut thumbnails = example("thumbnails");
        thumbnails.args(["--jobs", jobs, "--cpu", "1", "--spin", "spin"]);
        thumbnails.args(["--crash", "crash a", "--crash", "crash b"]);
        let output = thumbnails.arg(&from).arg(&to).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = stdout.lines().collect();
        assert_eq!(lines.len(), 7, "{stdout}\n{stderr}");
        let (cut, text) = (lines[3], lines[6]);
        assert!(cut.starts_with("cut: not an image: "), "{stdout}");
        assert!(text.starts_with("text: not an image: "), "{stdout}");
        let wanted = [
            "3 made, 6 failed",
            "crash a: its child was ended by signal 4 (SIGILL)",
            "crash b: its child was ended by signal 4 (SIGILL)",
            cut,
            "huge: its child was ended by signal 6 (SIGABRT), probably for want of memory",
            "spin: its child was ended by signal 24 (SIGXCPU), as it took too much CPU time",
            text,
        ];
        assert_eq!(lines, wanted);
        assert!(stderr.contains("] huge failed\n"), "{stderr}");
        assert!(stderr.contains("[9/9] "), "{stderr}");
        assert_good_thumbnails(&to);
        assert_eq!(fs::read_dir(&to).unwrap().count(), 3);
    }
}

#[test]
fn thumbnails_explains_its_usage() {
    let cases: [(&[&str], &str); 6] = [
        (&[], "usage: thumbnails"),
        (&["a"], "two folders"),
        (&["a", "b", "c"], "two folders"),
        (&["--jobs", "0", "a", "b"], "`0`"),
        (&["a", "b", "--jobs"], "`--jobs` wants a value"),
        (&["--verbose", "a", "b"], "no option `--verbose`"),
    ];
    for (arguments, text) in cases {
        let output = example("thumbnails").args(arguments).output().unwrap();
        assert_usage(&output, text);
    }
    let folder = Folder::new("same");
    let [from, to] = [folder.0.clone(), folder.0.join(".")];
    for (from, to, text) in [
        ("/nowhere/at/all".into(), to.clone(), "/nowhere/at/all: "),
        (from, to, "would replace"),
    ] {
        let output = example("thumbnails").arg(from).arg(to).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(text), "{stderr}");
    }
}
