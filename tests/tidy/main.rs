//! Rules of the repository, which `docs/architecture.md` describes.

mod breaches;
mod defences;
mod drawings;
mod layers;
mod pages;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use layers::{Crate, Layers};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The sources below these folders, with their paths from the root.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in folders {
        let path = Path::new(ROOT).join(folder);
        if path.exists() {
            collect(&path, &mut found);
        }
    }
    assert!(!found.is_empty(), "no sources in {folders:?}");
    found
}

fn collect(path: &PathBuf, found: &mut Vec<(String, String)>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        let name = path
            .strip_prefix(ROOT)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        found.push((name, fs::read_to_string(path).unwrap()));
    }
}

/// Returns the lines that are not comments, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Returns whether the line has this word, not as a part of another.
fn names(line: &str, word: &str) -> bool {
    let part =
        |other: Option<char>| other.is_some_and(|other| other.is_alphanumeric() || other == '_');
    line.match_indices(word).any(|(at, _)| {
        !part(line[..at].chars().next_back()) && !part(line[at + word.len()..].chars().next())
    })
}

/// Returns the files whose code contains `text`.
fn files_with(folders: &[&str], text: &str) -> Vec<String> {
    let all = sources(folders).into_iter();
    let mut names: Vec<_> = all
        .filter(|(_, source)| code(source).any(|(_, line)| line.contains(text)))
        .map(|(name, _)| name)
        .collect();
    names.sort();
    names
}

#[test]
fn unsafe_code_is_in_sys() {
    for (name, text) in sources(&["src", "serialisers/src"]) {
        for (number, line) in code(&text) {
            let allowed = name.starts_with("src/sys/") || line.contains("unsafe_code");
            assert!(allowed || !names(line, "unsafe"), "{name}:{number}: {line}");
        }
    }
    let root = fs::read_to_string(Path::new(ROOT).join("serialisers/src/lib.rs")).unwrap();
    assert!(root.contains("forbid(unsafe_code)"));
}

#[test]
fn targets_are_told_apart_in_sys() {
    for condition in ["cfg(target", "cfg(not(target", "cfg(unix", "cfg(any(target"] {
        for name in files_with(&["src", "serialisers/src"], condition) {
            assert!(name.starts_with("src/sys/"), "{name} has {condition}");
        }
    }
}

#[test]
fn features_are_chosen_in_three_files() {
    let allowed = ["serialisers/src/lib.rs", "src/child/mod.rs", "src/lib.rs"];
    for name in files_with(&["src", "serialisers/src"], "feature = \"") {
        assert!(allowed.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn one_file_knows_loom() {
    let mut all = files_with(&["src"], "cfg(loom)");
    all.extend(files_with(&["src"], "cfg(not(loom))"));
    all.retain(|name| !name.contains("/tests"));
    all.sort();
    all.dedup();
    assert_eq!(all, ["src/base/sync.rs"]);
}

#[test]
fn locks_come_from_one_file() {
    let words = ["Mutex", "MutexGuard", "RwLock", "Condvar", "PoisonError"];
    for (name, text) in sources(&["src"]) {
        if name.starts_with("src/base/sync") || name.contains("/tests") {
            continue;
        }
        // From `std::sync` up to the end of the path or of the list of imports.
        for (at, _) in text.match_indices("std::sync::") {
            let path = &text[at + "std::sync::".len()..];
            let mut path = path.split(if path.starts_with('{') { ';' } else { ' ' });
            let path = path.next().unwrap_or_default();
            let found = words.iter().find(|word| names(path, word));
            assert_eq!(found, None, "{name} has its own from std::sync");
        }
    }
}

/// The modules, each with the modules above it in this table that it may use (`*`: all of them), and behind a bar the paths
/// of other crates that it may use, if they are limited. `lib` is the root.
const LAYERS: &str = "
    base:
    trace_calls:
    trace_calls_off:
    exit_status:
    sys: base exit_status
    base/spin: base sys
    startup: sys
    memory: base sys startup
    memory_serde: memory sys
    protocol: | std::borrow std::collections std::fmt std::hash std::io::IoSlice std::iter std::mem std::ops std::str \
        offspring_serialisers
    message: sys protocol
    limits: sys exit_status
    rights: sys
    error: protocol exit_status limits
    signature:
    fits: signature
    preload: fits base sys error message signature
    child: trace_calls base base/spin sys protocol message error signature limits rights startup
    logging: trace_calls base child startup
    logging_serde: logging
    parent/pool/status:
    trace: base error exit_status parent/pool/status
    trace_off: error exit_status parent/pool/status

    parent/creator: sys
    parent/callbacks: base sys
    parent/reactor: base base/spin sys parent/callbacks
    parent/spawn/confinement: limits rights protocol
    parent/spawn/starter: base sys error parent/creator
    parent/child/interface: base trace_calls protocol message error
    parent/child/state: trace_calls base base/spin sys protocol message error exit_status parent/callbacks parent/child/interface \
        parent/spawn/confinement
    parent/child: trace_calls base sys protocol message error exit_status parent/creator parent/callbacks parent/reactor \
        parent/spawn/starter parent/child/interface parent/child/state
    parent/child/call: error parent/child parent/child/state parent/child/interface
    parent/child/pool_child: protocol message error exit_status parent/child parent/child/state parent/child/interface \
        parent/child/call
    parent/client: protocol message error exit_status parent/child parent/child/state parent/child/interface parent/child/call
    parent/forked: protocol message error exit_status parent/creator parent/callbacks parent/child/interface parent/client
    parent/spawn/streams: sys parent/child
    parent/handles: base protocol message error exit_status signature parent/creator parent/client parent/forked \
        parent/child parent/child/state parent/child/interface parent/spawn/streams
    parent/spawn: base base/spin startup sys protocol message error limits rights parent/creator parent/reactor parent/child \
        parent/child/state parent/child/interface parent/spawn/confinement parent/spawn/starter parent/spawn/streams
    parent/builder: base protocol message error limits rights signature parent/child parent/child/interface parent/handles parent/spawn \
        parent/spawn/confinement parent/spawn/streams parent/spawn/starter
    parent/pool: trace_calls base protocol message error exit_status signature trace parent/callbacks parent/reactor \
        parent/child/interface parent/child/call parent/child/pool_child parent/client parent/handles parent/spawn \
        parent/spawn/starter parent/builder parent/pool/status
    parent/template: base sys protocol message error exit_status preload parent/creator parent/child parent/child/state \
        parent/child/interface parent/forked parent/handles parent/spawn parent/spawn/starter parent/builder
    parent: parent/builder parent/handles parent/pool parent/pool/status parent/spawn parent/spawn/streams parent/template
    worker: fits base sys startup message error signature child parent/builder parent/handles parent/pool parent/spawn \
        parent/template
    service: fits signature child parent/handles
    lib: *
";

/// Parses the sources below a folder as a crate.
fn crate_of(folder: &str) -> Crate {
    let files: Vec<_> = sources(&[folder])
        .into_iter()
        .filter(|(name, _)| !name.contains("/tests"))
        .collect();
    let named = files.iter().map(|(name, text)| {
        let name = name.strip_prefix(folder).unwrap().trim_start_matches('/');
        (name, text.as_str())
    });
    Crate::new(named)
}

#[test]
fn files_import_each_other_in_no_circle() {
    for folder in ["src", "serialisers/src"] {
        assert_eq!(crate_of(folder).circles(), [""; 0], "{folder}");
    }
}

#[test]
fn modules_use_what_stands_below_them() {
    let breaches = crate_of("src").breaches(&Layers::new(LAYERS));
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    for (name, text) in sources(&["src", "serialisers/src"]) {
        assert!(
            text.lines().count() <= 600,
            "{name}: {}",
            text.lines().count()
        );
    }
}

/// The first line of each function in a formatted source, and how many lines of code it has.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let lines: Vec<_> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let is_function = code.starts_with("fn ") || code.contains(" fn ");
        if !is_function || code.starts_with("//") || code.ends_with([';', '}', ',']) {
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        let length = lines[at..]
            .iter()
            .position(|line| *line == end)
            .unwrap_or(0);
        let body = &lines[at..=at + length];
        let is_code =
            |line: &&&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        found.push((code, body.iter().filter(is_code).count()));
    }
    found
}

#[test]
fn no_function_is_too_long() {
    let long = "fn a() {\n    // c\n\n    b();\n}\npub(crate) fn c() {\n    d();\n    e();\n}\n";
    assert_eq!(
        functions(long),
        [("fn a() {", 3), ("pub(crate) fn c() {", 4)]
    );
    let is_test = |path: &str| path.contains("tests");
    let (mut count, mut faults) = (0, Vec::new());
    for (path, text) in sources(&["src", "serialisers/src"]) {
        let (text, _) = text.split_once("#[cfg(test)]\nmod").unwrap_or((&text, ""));
        for (name, length) in functions(text).into_iter().filter(|_| !is_test(&path)) {
            count += 1;
            if length > 40 {
                faults.push(format!("{path}: {name} {length}"));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(count > 1000, "{count}");
}

#[test]
fn few_crates_are_needed() {
    let output = std::process::Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "-e",
            "normal",
            "--prefix",
            "none",
            "--no-dedupe",
            "-p",
            "offspring",
        ])
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let mut crates: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
    crates.sort_unstable();
    crates.dedup();
    assert!(crates.len() <= 25, "{crates:#?}");
}
