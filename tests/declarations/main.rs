//! The compiler's messages for declarations: a program for each file in `cases`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The compiler's messages for each program: whether it is an error, and the text.
type Messages = BTreeMap<String, Vec<(bool, String)>>;

/// Checks all programs against the crate with these features.
fn check(name: &str, features: &str) -> Messages {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("declarations-{name}"));
    fs::create_dir_all(package.join("src/bin")).unwrap();
    let manifest = format!(
        "[package]\nname = \"declarations\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
        offspring = {{ path = {ROOT:?}, features = [{features}] }}\n"
    );
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    fs::copy(
        Path::new(ROOT).join("Cargo.lock"),
        package.join("Cargo.lock"),
    )
    .unwrap();
    for case in fs::read_dir(Path::new(ROOT).join("tests/declarations/cases")).unwrap() {
        let case = case.unwrap();
        fs::copy(case.path(), package.join("src/bin").join(case.file_name())).unwrap();
    }
    let output = Command::new(env!("CARGO"))
        .args([
            "check",
            "--offline",
            "--keep-going",
            "--bins",
            "--message-format=json",
        ])
        .env(
            "CARGO_TARGET_DIR",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("declarations"),
        )
        .current_dir(&package)
        .output()
        .unwrap();
    let mut messages = Messages::new();
    for line in output.stdout.split(|&byte| byte == b'\n') {
        let Ok(line) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        let name = line["target"]["name"].as_str().unwrap_or_default();
        if line["target"]["kind"][0] == "bin" {
            let said = messages.entry(name.to_owned()).or_default();
            let message = &line["message"];
            // Without the number of errors at the end.
            if let Some(text) = message["rendered"]
                .as_str()
                .filter(|_| !message["spans"].as_array().unwrap().is_empty())
            {
                said.push((message["level"] == "error", text.trim_end().to_owned()));
            }
        }
    }
    assert!(
        !messages.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    messages
}

/// Returns the only message for a program, an error.
#[track_caller]
fn only_error<'a>(messages: &'a Messages, case: &str) -> &'a str {
    let said = &messages[case];
    let text = said
        .iter()
        .map(|(_, text)| format!("{text}\n\n"))
        .collect::<String>();
    assert!(
        matches!(said[..], [(true, _)]),
        "{case}: {} messages\n{text}",
        said.len()
    );
    &said[0].1
}

/// A type that the format does not carry is one error of ten lines, at the signature. Its first note says what to do.
fn says_what_to_do(messages: &Messages, case: &str, signature: &str, type_: &str) {
    let text = only_error(messages, case);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.len() <= 10, "{case}: {} lines\n{text}", lines.len());
    assert!(
        lines[0].contains(&format!("the format `Octets` cannot carry `{type_}`")),
        "{text}"
    );
    assert!(
        lines[3].contains(signature) && lines[4].contains(&"^".repeat(signature.len())),
        "{text}"
    );
    let note = lines.iter().find(|line| line.contains("= note: ")).unwrap();
    for advice in [
        "`serialiser = offspring::Cbor`",
        "`features = [\"cbor\"]`",
        "`offspring::Descriptor<File>`",
        "`offspring::WorkerError`",
    ] {
        assert!(note.contains(advice), "{text}");
    }
}

fn cannot_be_carried(messages: &Messages) {
    says_what_to_do(messages, "structure", "fn(Point) -> Point", "Point");
    says_what_to_do(
        messages,
        "result",
        "fn(i32) -> Result<i32, String>",
        "Result<i32, String>",
    );
    says_what_to_do(
        messages,
        "option",
        "fn(Option<u32>, u32) -> bool",
        "(Option<u32>, u32)",
    );
    says_what_to_do(messages, "list", "fn(Vec<f64>) -> f64", "(Vec<f64>,)");
    let array = "Vec<Option<u32>>";
    says_what_to_do(messages, "array", array, array);
    says_what_to_do(messages, "events", "fn(u32) -> u32", "Progress");
    says_what_to_do(messages, "init", "fn(u32) -> u32", "(Config,)");
    says_what_to_do(messages, "file", "fn(File) -> u64", "(File,)");
    let text = only_error(messages, "preload_list");
    assert!(text.contains("cannot carry `(Vec<String>,)`"), "{text}");
    assert!(text.contains("`serialiser = offspring::Cbor`"), "{text}");
    // Of a service, the first type that is not carried.
    says_what_to_do(messages, "service_argument", "Point", "(Point,)");
    says_what_to_do(messages, "service_list", "Vec<f64>", "(Vec<f64>,)");
    let result = "Result<u64, String>";
    says_what_to_do(messages, "service_result", result, result);
    says_what_to_do(messages, "service_events", "Progress", "Progress");
}

/// A wrong option is one error, which lists the options.
#[track_caller]
fn lists_options(messages: &Messages, case: &str, unknown: &str, options: &[&str]) {
    let text = only_error(messages, case);
    assert!(
        text.contains(&format!("`{unknown}` is no option")),
        "{text}"
    );
    for option in options {
        assert!(text.contains(&format!("`{option}")), "{option}: {text}");
    }
}

/// Returns the lines of an error that contains these texts, and is at this line of the program.
#[track_caller]
fn says<'a>(text: &'a str, at: &str, contains: &[&str]) -> Vec<&'a str> {
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[3].contains(at), "{at}: {text}");
    for part in contains {
        assert!(text.contains(part), "{part}: {text}");
    }
    lines
}

/// A fault that the macro finds is one error of seven lines.
#[track_caller]
fn found_by_macro(messages: &Messages, case: &str, at: &str, advice: &str) {
    let lines = says(only_error(messages, case), at, &[]);
    assert!(lines[0].contains(advice), "{lines:#?}");
    assert_eq!(lines.len(), 7, "{lines:#?}");
}

fn function_of_a_worker(messages: &Messages) {
    found_by_macro(
        messages,
        "borrowed",
        "fn(u32, name: &str)",
        "are owned, `String` for example; the caller may lend `&str`",
    );
    found_by_macro(messages, "nine", "NINE: fn(", "at most eight arguments");
    let text = only_error(messages, "state");
    says(
        text,
        "COUNT: fn(",
        &[
            "takes a state of the type `u32`, and the worker has no `init`",
            "add `init(A, B) = function`",
        ],
    );
    for (case, events) in [("no_events", "NoEvents"), ("other_events", "u32")] {
        let text = only_error(messages, case);
        says(
            text,
            "COUNT: fn(",
            &[
                &format!("takes `&Events<String>`, and the events of the worker are `{events}`"),
                "declare their type: `events = String`",
            ],
        );
    }
    says(
        only_error(messages, "other_state"),
        "init(u32) = ",
        &[
            "this function does not fit the declaration's `init`",
            "the arguments of `init`, `(u32,)`",
            "returns the state in a `Result`: `Result<u64, _>`",
        ],
    );
    // The documentation of `worker!` quotes it.
    let errors = messages["capture"].iter().filter(|(error, _)| *error);
    let texts: Vec<_> = errors.map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts.len(), 1, "{texts:#?}");
    let quoted = "attempt to use a non-constant value in a constant";
    says(texts[0], "number + by", &[quoted]);
    let errors = &messages["without_init"];
    assert_eq!(errors.len(), 3, "{errors:#?}");
    for ((_, text), call) in errors.iter().zip(["ADD.spawn", "ADD.pool", "ADD.builder"]) {
        says(
            text,
            call,
            &[
                "this worker has an `init`",
                "begin with `.init(…)`",
                "`WORKER.init(…).spawn()`",
            ],
        );
    }
}

fn argument_of_a_call(messages: &Messages) {
    says(
        only_error(messages, "other_argument"),
        "call(Box::new(",
        &[
            "`Box<&str>` cannot be sent as the argument `offspring::Bytes`",
            "`&str` for `String`",
            "with `features = [\"bytes\"]` for `offspring` also `bytes::Bytes` for `Bytes`",
        ],
    );
}

/// Each fault of the services is one error at the method's name and arguments.
fn methods_of_a_service(messages: &Messages) {
    let expected = [
        (
            "add(&mut self, count: u32, word: &str)",
            "are owned, `String` for example; the caller may lend `&str`",
        ),
        ("to(&self, to: u32, events: &Events<u32>)", "`events = u32`"),
        ("line(&self, ", "at most seven arguments"),
        ("all(&self, ", "at most seven arguments"),
        ("end(self)", "takes `&self` or `&mut self`"),
        ("one(&self)", "has no body"),
        (
            "double(&self, mut number: u32)",
            "a name and a type: `word: String`",
        ),
    ];
    let errors = &messages["service_methods"];
    assert_eq!(errors.len(), expected.len() + 1, "{errors:#?}");
    for ((_, text), (method, advice)) in errors.iter().zip(expected) {
        let lines = says(text, method, &[advice]);
        let at = lines[3].find(method).unwrap();
        assert!(
            lines[4][at..].starts_with('^') && !lines[4][..at].contains('^'),
            "{text}"
        );
        assert_eq!(lines.len(), 7, "{text}");
    }
    let nameless = &errors[expected.len()].1;
    assert!(
        nameless.contains("`trait Nameless => NamelessClient { … }`"),
        "{nameless}"
    );
}

fn in_all_builds(messages: &Messages) {
    assert_eq!(messages["fine"], []);
    cannot_be_carried(messages);
    function_of_a_worker(messages);
    argument_of_a_call(messages);
    methods_of_a_service(messages);
    let options = [
        "serialiser",
        "events",
        "init",
        "done",
        "max_running",
        "runtime",
        "name",
    ];
    lists_options(messages, "unknown", "max_runing", &options);
    lists_options(
        messages,
        "preload_unknown",
        "serialser",
        &["serialiser", "name"],
    );
    lists_options(
        messages,
        "service_unknown",
        "name",
        &["serialiser", "events"],
    );
    for (case, arguments, result) in [
        ("misfit", "(i32,)", "i32"),
        ("misfit_result", "(String,)", "usize"),
    ] {
        let text = only_error(messages, case);
        says(
            text,
            "worker!(",
            &[
                "this function does not fit the worker's signature",
                &format!("the signature, `{arguments}`, and returns its result, `{result}`"),
                "`&Events<E>` behind them if there is `events = E`",
            ],
        );
    }
}

#[test]
fn by_default() {
    let messages = check("default", "");
    in_all_builds(&messages);
    let text = only_error(&messages, "feature");
    assert!(text.contains("gated behind the `cbor` feature"), "{text}");
    let feature = "the feature `concurrent` of `offspring`";
    let text = only_error(&messages, "runtime");
    let lines = says(text, "runtime = run", &[feature]);
    assert!(lines[4].contains("^^^"), "{text}");
    found_by_macro(&messages, "service_async", "double(", feature);
    for case in ["asynchronous", "misfit"] {
        says(only_error(&messages, case), "worker!(", &[feature]);
    }
}

#[test]
fn with_features() {
    let messages = check("features", r#""cbor", "json", "concurrent""#);
    in_all_builds(&messages);
    let errors = &messages["service_async_mut"];
    assert_eq!(errors.len(), 2, "{errors:#?}");
    says(
        &errors[0].1,
        "add(&mut self, number: u32)",
        &["takes `&self` first"],
    );
    says(
        &errors[1].1,
        "add(&mut self, word: String)",
        &["all methods", "take `&self`"],
    );
    for case in ["feature", "runtime", "asynchronous", "service_async"] {
        assert_eq!(messages[case], []);
    }
    let text = only_error(&messages, "misfit");
    assert!(!text.contains("the feature `concurrent`"), "{text}");
    for (case, advice) in [
        ("async_events", "declare their type: `events = String`"),
        ("async_state", "add `init(A, B) = function`"),
    ] {
        says(only_error(&messages, case), "COUNT: fn(", &[advice]);
    }
    // The message of serde.
    let text = &messages["derive"][0].1;
    assert!(
        text.contains("`Point: serde") && text.contains("derive"),
        "{text}"
    );
    for (case, type_) in [
        ("service_derive", "from: Point"),
        ("service_derive_result", "-> Point"),
    ] {
        says(
            &messages[case][0].1,
            type_,
            &[
                "the format `Cbor` cannot carry `Point`",
                "`#[derive(serde::Serialize, serde::Deserialize)]`",
            ],
        );
    }
}
