//! What the compiler says of declarations: a program for each file in `cases`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What the compiler says of each program: whether it is an error, and the text.
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
            // Not the number of errors at the end.
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

/// The one message for a program, which is an error.
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

/// One error of ten lines, at the signature, whose first note says what to do.
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
    for advice in ["`serialiser = offspring::Cbor`", "`features = [\"cbor\"]`"] {
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
    says_what_to_do(messages, "events", "fn(u32) -> u32", "Progress");
    says_what_to_do(messages, "init", "fn(u32) -> u32", "(Config,)");
}

fn in_all_builds(messages: &Messages) {
    assert_eq!(messages["fine"], []);
    cannot_be_carried(messages);
    let text = only_error(messages, "unknown");
    let options = [
        "serialiser",
        "events",
        "init",
        "done",
        "max_running",
        "runtime",
        "name",
    ];
    for option in options.map(|option| format!("`{option}")) {
        assert!(
            text.contains("`max_runing` is no option") && text.contains(&option),
            "{text}"
        );
    }
    let text = only_error(messages, "misfit");
    assert!(
        text.contains("this function does not fit the worker's signature"),
        "{text}"
    );
}

#[test]
fn by_default() {
    let messages = check("default", "");
    in_all_builds(&messages);
    let text = only_error(&messages, "feature");
    assert!(text.contains("gated behind the `cbor` feature"), "{text}");
}

#[test]
fn with_features() {
    let messages = check("features", r#""cbor", "json", "concurrent""#);
    in_all_builds(&messages);
    assert_eq!(messages["feature"], []);
    // What serde says.
    let text = &messages["derive"][0].1;
    assert!(
        text.contains("`Point: serde") && text.contains("derive"),
        "{text}"
    );
}
