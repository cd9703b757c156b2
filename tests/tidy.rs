//! The edges of the layout, which `docs/architecture.md` describes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

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

/// Fails if the code of these sources has one of these words.
#[track_caller]
fn none_names(folders: &[&str], words: &[&str]) {
    let mut wrong = Vec::new();
    for (name, text) in sources(folders) {
        for (number, line) in code(&text) {
            for word in words.iter().filter(|word| names(line, word)) {
                wrong.push(format!("{name}:{number}: {word} in {line}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
fn parent_and_child_do_not_know_each_other() {
    none_names(&["src/parent"], &["crate::child"]);
    none_names(&["src/child"], &["parent::", "crate::parent"]);
}

#[test]
fn a_pool_is_a_user_like_others() {
    let private = [
        "crate::protocol",
        "crate::sys",
        "crate::child",
        "child::state",
        "child::driver",
        "child::connection",
    ];
    for file in [
        "src/parent/pool/mod.rs",
        "src/parent/pool",
        "src/parent/remote.rs",
        "src/parent/remote",
    ] {
        if Path::new(ROOT).join(file).exists() {
            none_names(&[file], &private);
        }
    }
}

#[test]
fn the_protocol_does_nothing() {
    let system = [
        "std::os",
        "std::net",
        "std::process",
        "std::thread",
        "std::time",
        "std::sync",
    ];
    none_names(&["src/protocol"], &system);
    none_names(
        &["src/protocol"],
        &[
            "crate::sys",
            "crate::parent",
            "crate::child",
            "nix",
            "libc",
            "unsafe",
        ],
    );
    // Nor in a list of imports.
    let lists = ["use std::{"];
    none_names(&["src/protocol"], &lists);
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

#[test]
fn files_import_each_other_in_no_circle() {
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for base in ["src", "serialisers/src"] {
        let all: BTreeMap<String, String> = sources(&[base])
            .into_iter()
            .filter(|(name, _)| !name.contains("/tests"))
            .map(|(name, text)| (module(&name), text))
            .collect();
        for (own, text) in &all {
            let paths = code(text).flat_map(|(_, line)| paths(line));
            let others = paths.filter_map(|path| resolve(base, own, &path, &all));
            let others = others.filter(|other| !is_within(other, own) && !is_within(own, other));
            imports.entry(own.clone()).or_default().extend(others);
        }
    }
    assert!(
        imports["src/parent/child/driver"].contains("src/parent/child/state"),
        "paths are seen"
    );
    let circles = circles(&imports);
    assert_eq!(circles, Vec::<String>::new());
    // A breach is seen.
    imports
        .entry("src/parent/child/state".into())
        .or_default()
        .insert("src/parent/child/driver".into());
    assert_ne!(self::circles(&imports), circles);
}

/// `src/parent/child/state.rs` and `src/child/mod.rs` as modules.
fn module(file: &str) -> String {
    let name = file.trim_end_matches(".rs");
    name.trim_end_matches("/mod").to_owned()
}

/// What begins with `crate`, `super` or `self`, also in the braces of an import.
fn paths(line: &str) -> Vec<String> {
    let starts = ["crate::", "super::", "self::"];
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    for word in line.split(|c: char| !is_word(c)) {
        if starts.iter().any(|start| word.starts_with(start)) {
            found.push(word.trim_end_matches(':').to_owned());
        }
    }
    found
}

/// The module that a path leads into, as far as it names modules.
fn resolve(base: &str, own: &str, path: &str, all: &BTreeMap<String, String>) -> Option<String> {
    let mut at: Vec<&str> = own.split('/').collect();
    let mut segments = path.split("::").peekable();
    while let Some(first) = segments.next_if(|one| ["crate", "super", "self"].contains(one)) {
        match first {
            "crate" => at = base.split('/').collect(),
            "super" => drop(at.pop()),
            _ => {}
        }
    }
    let mut found = None;
    for segment in segments {
        at.push(segment);
        match all.get_key_value(&at.join("/")) {
            Some((name, _)) => found = Some(name.clone()),
            None => break,
        }
    }
    found.filter(|name| name != own)
}

fn is_within(inner: &str, outer: &str) -> bool {
    inner.starts_with(&format!("{outer}/"))
}

/// The files that lead back to themselves, those of a circle in a line.
fn circles(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let reached = |from: &String| {
        let mut seen = BTreeSet::new();
        let mut next = vec![from.clone()];
        while let Some(one) = next.pop() {
            let more = imports.get(&one).into_iter().flatten().cloned();
            next.extend(more.filter(|other| seen.insert(other.clone())));
        }
        seen
    };
    let all: BTreeMap<_, _> = imports.keys().map(|one| (one, reached(one))).collect();
    let circle = |one: &String| {
        let back = |other: &&String| {
            all[one].contains(*other) && all.get(other).is_some_and(|own| own.contains(one))
        };
        let circle: Vec<&str> = all
            .keys()
            .copied()
            .filter(back)
            .map(String::as_str)
            .collect();
        circle.join(" ")
    };
    let circles: BTreeSet<String> = imports
        .keys()
        .map(circle)
        .filter(|text| !text.is_empty())
        .collect();
    circles.into_iter().collect()
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
