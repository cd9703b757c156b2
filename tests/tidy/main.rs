//! The edges of the layout, which `docs/architecture.md` describes.

mod breaches;
mod layers;

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

/// Lines of code, with their numbers: no comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Is this word in the line, not as a part of another?
fn names(line: &str, word: &str) -> bool {
    let part =
        |other: Option<char>| other.is_some_and(|other| other.is_alphanumeric() || other == '_');
    line.match_indices(word).any(|(at, _)| {
        !part(line[..at].chars().next_back()) && !part(line[at + word.len()..].chars().next())
    })
}

/// The files whose code has this.
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
        if name.ends_with("/sync.rs") || name.contains("/tests") {
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

/// The modules, each with those above it in this table that it may use (`*`: all of them), and behind a bar what it may
/// use of other crates, if that is limited. `lib` is the root.
const LAYERS: &str = "
    base:
    trace_calls:
    trace_calls_nothing:
    sys: base
    base/spin: base sys
    startup: sys
    memory: base sys startup
    memory_serde: memory sys
    protocol: | std::borrow std::collections std::fmt std::hash std::io::IoSlice std::iter std::mem std::ops std::str \
        offspring_serialisers
    parcel: sys protocol
    exit_status: sys
    limits: sys exit_status
    rights: sys
    error: protocol exit_status limits
    signature:
    fits: signature
    preload: base sys error parcel signature
    child: trace_calls base base/spin sys protocol parcel error signature limits rights startup
    logging: trace_calls base child startup
    logging_serde: logging
    parent/pool/status:
    trace: error exit_status parent/pool/status
    trace_nothing: error exit_status parent/pool/status

    parent/maker: sys
    parent/callbacks: base sys
    parent/helper: base base/spin sys parent/callbacks
    parent/alarm: base sys parent/helper
    parent/spawn/confinement: limits rights protocol
    parent/spawn/starter: base sys error parent/maker
    parent/child/terms: trace_calls parcel error
    parent/child/state: trace_calls base base/spin sys protocol parcel error exit_status parent/callbacks parent/child/terms \
        parent/spawn/confinement
    parent/child: trace_calls base sys protocol parcel error exit_status parent/maker parent/callbacks parent/helper \
        parent/spawn/starter parent/child/terms parent/child/state
    parent/child/call: parent/child parent/child/state parent/child/terms
    parent/child/member: protocol parcel error exit_status parent/child parent/child/state parent/child/terms \
        parent/child/call
    parent/target: protocol parcel error exit_status parent/child/terms parent/child/call
    parent/target/child: protocol parcel error exit_status parent/child parent/child/state parent/child/terms parent/child/call \
        parent/target
    parent/forked: protocol parcel error exit_status parent/maker parent/callbacks parent/child/terms parent/target
    parent/spawn/streams: sys parent/child
    parent/handles: base protocol parcel error exit_status signature parent/maker parent/target parent/forked \
        parent/child parent/child/state parent/child/terms parent/spawn/streams
    parent/spawn: base base/spin startup sys protocol parcel error limits rights parent/maker parent/helper parent/child \
        parent/child/state parent/child/terms parent/spawn/confinement parent/spawn/starter parent/spawn/streams
    parent/builder: base protocol parcel error limits rights signature parent/child parent/child/terms parent/handles parent/spawn \
        parent/spawn/confinement parent/spawn/streams parent/spawn/starter
    parent/pool: trace_calls base protocol parcel error exit_status signature trace parent/maker parent/callbacks parent/alarm \
        parent/child/terms parent/child/call parent/child/member parent/target parent/handles parent/spawn \
        parent/spawn/starter parent/builder parent/pool/status
    parent/template: base sys protocol parcel error exit_status preload parent/maker parent/child parent/child/state \
        parent/child/terms parent/forked parent/handles parent/spawn parent/spawn/starter parent/builder
    parent: parent/builder parent/handles parent/pool parent/pool/status parent/spawn parent/spawn/streams parent/template
    worker: fits base sys startup parcel error signature child parent/builder parent/handles parent/pool parent/spawn \
        parent/template
    service: signature child parent/handles
    lib: *
";

/// The sources below a folder as a crate.
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

/// What `docs/tests.md` names is there.
#[test]
fn the_map_of_tests_is_true() {
    let map = fs::read_to_string("docs/tests.md").unwrap();
    let named = map.split('`').skip(1).step_by(2);
    let mut count = 0;
    for (file, test) in named.filter_map(|name| name.rsplit_once("::")) {
        let file = match file.contains('/') {
            true => format!("{file}.rs"),
            false => format!("tests/it/{file}.rs"),
        };
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(
            text.contains(&format!("fn {test}(")),
            "{file} has no {test}"
        );
        count += 1;
    }
    assert!(count > 100, "{count}");
}
