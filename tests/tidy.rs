//! The edges of the layout, which `docs/architecture.md` describes.

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
    none_names(&["src/parent"], &["child::", "crate::child"]);
    none_names(&["src/child"], &["parent::", "crate::parent"]);
}

#[test]
fn a_pool_is_a_user_like_others() {
    let private = [
        "crate::protocol",
        "crate::sys",
        "crate::child",
        "super::core",
        "super::driver",
        "super::connection",
    ];
    for file in [
        "src/parent/pool.rs",
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
    assert_eq!(all, ["src/sync.rs"]);
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
