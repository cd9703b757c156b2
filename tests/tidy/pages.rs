//! The pages of `docs` and the README: what they name and link to exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::sources;

/// Where the forge of the crate's documentation shows a file of the repository.
const SOURCE: &str = "https://docs.rs/crate/offspring/latest/source/";

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The front page of the crate's documentation, with links by [`SOURCE`].
const FRONT: &str = "src/lib.rs";

/// The text of a page; of the front page it is the head of the file, without the marks of comments.
fn text_of(page: &str) -> String {
    let text = read(page);
    if page != FRONT {
        return text;
    }
    let head = text.lines().map_while(|line| line.strip_prefix("//!"));
    head.map(|line| format!("{}\n", line.trim_start()))
        .collect()
}

/// Every page, by its path from the root.
fn pages() -> Vec<String> {
    let mut pages: Vec<_> = fs::read_dir("docs")
        .unwrap()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .filter(|path| path.ends_with(".md"))
        .collect();
    pages.sort();
    pages.extend(["README.md".to_owned(), "CHANGELOG.md".to_owned()]);
    pages
}

/// Lines that are not code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    let lines = text.lines().enumerate();
    lines.filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            code = !code;
            return None;
        }
        (!code).then_some((index + 1, line))
    })
}

/// The targets of links in a line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let mut inside = line.split("](");
    inside.next();
    inside.filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// Returns the anchor that a forge makes of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase().replace(' ', "-");
    kept.chars()
        .filter(|character| character.is_alphanumeric() || matches!(character, '-' | '_'))
        .collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|(_, line)| line.starts_with('#'));
    headings
        .map(|(_, line)| anchor(line.trim_start_matches('#')))
        .collect()
}

/// Returns the fault of a link of this page, if it has one.
fn fault(page: &str, text: &str, link: &str) -> Option<String> {
    let (path, fragment) = match link.split_once('#') {
        Some((path, fragment)) => (path, Some(fragment)),
        None => (link, None),
    };
    let file = match path.strip_prefix(SOURCE) {
        Some(file) => PathBuf::from(file),
        None if path.contains("://") || path.starts_with("mailto:") => return None,
        None if path.is_empty() => PathBuf::from(page),
        None => Path::new(page).parent().unwrap().join(path),
    };
    if !file.exists() && !file.as_os_str().is_empty() {
        return Some(format!("there is no {}", file.display()));
    }
    let fragment = fragment?;
    let target = match path.is_empty() {
        true => text.to_owned(),
        false => read(&file),
    };
    (!anchors(&target).contains(fragment)).then(|| format!("no heading for #{fragment}"))
}

#[test]
fn links_lead_somewhere() {
    let (mut faults, mut count) = (Vec::new(), 0);
    for page in pages().into_iter().chain([FRONT.to_owned()]) {
        let text = text_of(&page);
        for (number, line) in prose(&text) {
            for link in links(line) {
                count += 1;
                let fault = fault(&page, &text, link);
                faults.extend(fault.map(|fault| format!("{page}:{number}: {link}: {fault}")));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(count > 20, "{count}");
}

#[test]
fn dead_links_are_found() {
    let text = "# One heading, `code`\n[here](#one-heading-code) [there](no.md) [no](#two)";
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let faults = links(line).filter_map(|link| fault("docs/guide.md", text, link));
        found.extend(faults.map(|fault| (number, fault)));
    }
    let wanted = ["there is no docs/no.md", "no heading for #two"];
    assert_eq!(found, wanted.map(|fault| (2, fault.to_owned())));
    for link in ["guide.md#guide", "../README.md", "https://example.org/x"] {
        assert_eq!(fault("docs/guide.md", text, link), None, "{link}");
    }
    let source = format!("{SOURCE}docs/nothing.md");
    assert!(fault("README.md", text, &source).is_some());
}

/// Is this name in backticks that of a file or folder of this repository, by the way that it is written?
fn is_path(name: &str) -> bool {
    let folders = [
        "src/",
        "tests/",
        "examples/",
        "benches/",
        "docs/",
        "serialisers/",
        ".ci/",
    ];
    // The reader writes the file `NAME`, and a command makes what is in a folder `target`.
    let marks = [" ", "…", "*", "{", "<", ":", "NAME", "/target/"];
    let is_file = name.ends_with(".rs") && !name.starts_with('/');
    (is_file || folders.iter().any(|folder| name.starts_with(folder)))
        && !marks.iter().any(|mark| name.contains(mark))
}

/// Comments of a source, with the numbers of their lines.
fn comments(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| (index + 1, line.trim_start()))
        .filter(|(_, line)| line.starts_with("//"))
}

#[test]
fn files_that_pages_and_comments_name_exist() {
    let all = sources(&["src", "serialisers", "tests", "examples", "benches"]);
    // A page may leave out the folder that it speaks of.
    let is_known = |name: &str| {
        let end = format!("/{name}");
        Path::new(name).exists() || all.iter().any(|(path, _)| path.ends_with(&end))
    };
    let mut faults = Vec::new();
    // The change log speaks of files as they were.
    for page in pages().iter().filter(|page| *page != "CHANGELOG.md") {
        let text = read(page);
        for (number, line) in prose(&text) {
            let named = line.split('`').skip(1).step_by(2);
            let missing = named.filter(|name| is_path(name) && !is_known(name));
            faults.extend(missing.map(|name| format!("{page}:{number}: {name}")));
        }
    }
    for (path, text) in sources(&["src", "serialisers/src"]) {
        for (number, line) in comments(&text) {
            let named = line.split('`').skip(1).step_by(2);
            let missing =
                named.filter(|name| name.ends_with(".rs") && is_path(name) && !is_known(name));
            faults.extend(missing.map(|name| format!("{path}:{number}: {name}")));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Tests that a page names in backticks, as `file::test`.
fn tests_named_in(page: &str) -> usize {
    let text = read(page);
    let named = prose(&text).flat_map(|(_, line)| line.split('`').skip(1).step_by(2));
    let mut count = 0;
    for (file, test) in named.filter_map(|name| name.rsplit_once("::")) {
        let file = match file.contains('/') {
            true => format!("{file}.rs"),
            false => format!("tests/it/{file}.rs"),
        };
        assert!(
            read(&file).contains(&format!("fn {test}(")),
            "{page}: {file} has no {test}"
        );
        count += 1;
    }
    count
}

#[test]
fn tests_that_pages_name_exist() {
    for (page, least) in [
        ("docs/tests.md", 100),
        ("docs/reliability.md", 30),
        ("docs/security.md", 10),
    ] {
        let count = tests_named_in(page);
        assert!(count > least, "{page}: {count}");
    }
}

/// A reader of the crate's documentation finds each page, and no page that is gone; so does a reader of the README.
#[test]
fn the_front_page_of_the_documentation_has_each_page() {
    let root = text_of(FRONT);
    for page in pages().iter().filter(|page| page.starts_with("docs/")) {
        assert!(root.contains(&format!("{SOURCE}{page})")), "{page}");
    }
    // On a forge and in a clone the README is beside them.
    let readme = read("README.md");
    assert!(!readme.contains(SOURCE));
    for page in pages().iter().filter(|page| page.starts_with("docs/")) {
        assert!(readme.contains(&format!("({page}")), "{page}");
    }
    for (name, text) in sources(&["src", "serialisers/src", "examples"]) {
        let words = text.split(|mark: char| !mark.is_alphanumeric() && !"/.-_".contains(mark));
        let pages = words.filter(|word| word.starts_with("docs/") && word.ends_with(".md"));
        for page in pages {
            assert!(Path::new(page).exists(), "{name}: {page}");
        }
    }
}

/// A word that no code uses any more needs no explanation.
#[test]
fn words_of_the_glossary_are_used() {
    let sources = sources(&["src"]);
    let text = read("docs/glossary.md");
    let words: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| **")?.split_once("**"))
        .map(|(word, _)| word.to_lowercase())
        .collect();
    assert!(words.len() > 20, "{words:?}");
    for word in words {
        let is_used = |text: &str| text.to_lowercase().contains(&word);
        assert!(sources.iter().any(|(_, text)| is_used(text)), "{word}");
    }
}
