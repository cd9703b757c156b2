//! The words that comments, messages and pages do not use, each with the better one.
//!
//! Read are the comments and the text in quotes of Rust files, and what is not code of Markdown files. Names of code and
//! what stands in backticks are free. A phrase is found over the end of a line, too.

use std::fs;
use std::path::Path;

/// Folders and files that are checked. A trailing slash marks a folder.
const CHECKED: &[&str] = &[
    "src/",
    "serialisers/",
    "examples/",
    "tests/",
    "benches/",
    "docs/",
    "README.md",
    "CHANGELOG.md",
];

/// This file has the words, and these are generated or foreign.
const LEFT_OUT: &[&str] = &["tests/tidy/words.rs", "target/"];

/// Phrases and what to write. A word of a phrase: `a|b` is either; `,` is any mark that ends a clause, the end included;
/// `^` is the start of a sentence; `-x` matches words that end with x. Case is ignored.
const BANNED: &[(&str, &str)] = &[
    ("whoever|whomever|whosoever", "the thing by its name"),
    ("nobody|noone", "no thread, no process, no caller"),
    ("no one", "no thread, no process, no caller"),
    ("somebody|someone|anybody", "the thing by its name"),
    ("he|she|his|him|her|hers", "the thing by its name"),
    ("one who", "the thing by its name"),
    ("^ one that|which", "the noun in place of `one`"),
    ("nought|naught", "zero"),
    ("-manieth", "n-th"),
    ("so many", "the number's name, or `that many`"),
    ("at least|most so", "Minimum, Maximum"),
    ("for so long", "how long, with a unit"),
    ("of its|their|our own", "own, separate"),
    ("but for", "except"),
    ("at that ,", "(leave it out)"),
    ("in earnest", "(leave it out)"),
    ("stands|stand|stood for", "expands to, means, represents"),
    (
        "goes|go|going|went|gone along",
        "is sent with, is passed with",
    ),
    (", what is|was not", "the noun in place of `what`"),
    ("is there", "exists, runs, is open"),
    ("had better", "should"),
    ("nothing is said", "Default: …"),
    ("leaves word", "registers"),
    ("in the same breath", "in the same write"),
    ("so to speak", "(leave it out)"),
    ("octet|octets", "byte, bytes"),
];

/// Folders whose doc comments begin with no clause in place of a noun.
const NOUNS: &[&str] = &["src/", "serialisers/", "examples/", "tests/", "benches/"];

/// Before `who` stands a word for people, or it is a finding.
const PEOPLE: &[&str] = &[
    "users",
    "user",
    "authors",
    "author",
    "readers",
    "reader",
    "people",
    "those",
    "anyone",
    "contributors",
    "contributor",
    "attackers",
    "attacker",
    "programmers",
    "administrators",
];

/// Prose with the line that it begins in: comments that follow each other are one.
#[derive(Debug, Default)]
struct Prose(Vec<(usize, String)>);

impl Prose {
    /// Adds text of this line to what the line above had, if that was prose.
    fn add(&mut self, line: usize, text: &str, joins: bool) {
        match self.0.last_mut() {
            Some((first, all)) if joins && *first + all.matches('\n').count() + 1 == line => {
                all.push('\n');
                all.push_str(text);
            }
            _ => self.0.push((line, text.to_owned())),
        }
    }
}

/// The contents of a fence.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Fence {
    #[default]
    None,
    Rust,
    Other,
}

impl Fence {
    /// After a line that opens or closes one, if it does; the words behind it tell what code it is.
    fn after(self, line: &str) -> Option<Self> {
        let words = line.trim_start().strip_prefix("```")?;
        Some(match self {
            Self::None if words.is_empty() || words.starts_with("rust") => Self::Rust,
            Self::None
                if ["no_run", "compile_fail", "should_panic", "ignore"]
                    .iter()
                    .any(|word| words.starts_with(word)) =>
            {
                Self::Rust
            }
            Self::None => Self::Other,
            _ => Self::None,
        })
    }
}

/// A line at a time of Markdown, a page or a doc comment. Tables that a program writes, between two comments of HTML, are
/// left out: their rows have the names of formats.
#[derive(Debug, Default)]
struct Markdown {
    fence: Fence,
    generated: bool,
}

impl Markdown {
    fn line(&mut self, number: usize, line: &str, prose: &mut Prose) {
        if let Some(fence) = self.fence.after(line) {
            self.fence = fence;
            return;
        }
        if line.starts_with("<!-- ") {
            self.generated = !line.starts_with("<!-- /");
        }
        match self.fence {
            _ if self.generated => {}
            Fence::None if line.trim().is_empty() => {}
            Fence::None => prose.add(number, line, true),
            // A comment, or text in quotes, of one line: examples are short.
            Fence::Rust => rust(line, number, prose),
            Fence::Other => {}
        }
    }
}

/// The comments and the text in quotes of Rust code, whose first line has this number.
fn rust(code: &str, first: usize, prose: &mut Prose) {
    let mut docs = Markdown::default();
    let mut number = first;
    let mut rest = code;
    while let Some(at) = rest.find(['\n', '"', '/', '\'']) {
        let (before, found) = rest.split_at(at);
        rest = &found[1..];
        if found.starts_with('\n') {
            number += 1;
        } else if found.starts_with("//") {
            let end = found.find('\n').unwrap_or(found.len());
            let text = found[2..end].trim_start_matches(['/', '!']);
            let text = text.strip_prefix(' ').unwrap_or(text);
            docs.line(number, text, prose);
            rest = &found[end..];
        } else if found.starts_with('"') {
            let (text, after) = quoted(before, rest);
            // A text that is one word is a name, not prose.
            if text.contains(' ') {
                // An error of the format `Octets` begins with its name.
                let text = text.strip_prefix("octets: ").unwrap_or(text);
                prose.add(number, text, false);
            }
            number += text.matches('\n').count();
            rest = after;
        } else if found.starts_with('\'') {
            rest = after_character(rest);
        }
    }
}

/// A text behind its first quote, and what follows its last; what stands before it tells whether it is raw.
fn quoted<'a>(before: &str, rest: &'a str) -> (&'a str, &'a str) {
    let hashes = before.len() - before.trim_end_matches('#').len();
    let raw = before.trim_end_matches('#').ends_with(['r', 'R']);
    if raw {
        let end = format!("\"{}", "#".repeat(hashes));
        let at = rest.find(&end).unwrap_or(rest.len());
        return (&rest[..at], rest.get(at + end.len()..).unwrap_or_default());
    }
    let mut escaped = false;
    for (at, character) in rest.char_indices() {
        match character {
            '"' if !escaped => return (&rest[..at], &rest[at + 1..]),
            _ => escaped = character == '\\' && !escaped,
        }
    }
    (rest, "")
}

/// Returns the text behind a character, from its first quote on: all of it if this was a lifetime.
fn after_character(rest: &str) -> &str {
    let mut characters = rest.char_indices();
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((at, second))) => {
            let after = &rest[at + second.len_utf8()..];
            after.split_once('\'').map_or(after, |(_, after)| after)
        }
        (Some(_), Some((at, '\''))) => &rest[at + 1..],
        _ => rest,
    }
}

/// A word, or a mark that ends a clause, with its line.
#[derive(Debug, PartialEq)]
enum Token {
    Word(usize, String),
    /// Whether it ends a sentence.
    Mark(bool),
}

/// The words of prose; what stands in backticks is no word, but stands between them.
fn tokens(first: usize, text: &str) -> Vec<Token> {
    let mut tokens = vec![Token::Mark(true)];
    for (index, span) in text.split('`').enumerate() {
        let line = first
            + text[..span.as_ptr() as usize - text.as_ptr() as usize]
                .matches('\n')
                .count();
        if index % 2 == 1 {
            tokens.push(Token::Word(line, "`".to_owned()));
            continue;
        }
        add_words(line, span, &mut tokens);
    }
    tokens.push(Token::Mark(true));
    tokens
}

fn add_words(mut line: usize, text: &str, tokens: &mut Vec<Token>) {
    let mut word = String::new();
    for character in text.chars().chain([' ']) {
        if character.is_alphanumeric() || matches!(character, '_' | '-' | '\'') {
            word.extend(character.to_lowercase());
            continue;
        }
        if !word.is_empty() {
            tokens.push(Token::Word(line, std::mem::take(&mut word)));
        }
        match character {
            '\n' => line += 1,
            '.' | '!' | '?' | ':' | '|' => tokens.push(Token::Mark(true)),
            ',' | ';' | ')' | '(' => tokens.push(Token::Mark(false)),
            _ => {}
        }
    }
}

fn is(word: &str, token: &Token) -> bool {
    match token {
        Token::Mark(end) => word == "," || (word == "^" && *end),
        Token::Word(_, text) => word.split('|').any(|word| match word.strip_prefix('-') {
            Some(ending) => text.ends_with(ending),
            None => word == text,
        }),
    }
}

/// The line of the first word of a phrase that starts with this token.
fn starts(phrase: &str, tokens: &[Token]) -> Option<usize> {
    let mut line = None;
    let mut rest = tokens.iter();
    for word in phrase.split(' ') {
        let token = rest.next().filter(|token| is(word, token))?;
        if let Token::Word(first, _) = token {
            line = line.or(Some(*first));
        }
    }
    line
}

/// Lines with banned phrases, and for each the phrase and what to write.
fn findings(path: &str, text: &str) -> Vec<(usize, String, &'static str)> {
    let mut prose = Prose::default();
    match path.ends_with(".md") {
        true => {
            let mut page = Markdown::default();
            for (index, line) in text.lines().enumerate() {
                page.line(index + 1, line, &mut prose);
            }
        }
        false => rust(text, 1, &mut prose),
    }
    let mut found = Vec::new();
    for (first, text) in &prose.0 {
        let tokens = tokens(*first, text);
        for at in 0..tokens.len() {
            for (phrase, better) in BANNED {
                let asks = at > 0 && is("why", &tokens[at - 1]);
                if let Some(line) = starts(phrase, &tokens[at..]).filter(|_| !asks) {
                    found.push((
                        line,
                        phrase.replace(['^', ','], "").trim().to_owned(),
                        *better,
                    ));
                }
            }
            if let Some(line) = starts("who|whom|who's", &tokens[at..])
                && !PEOPLE
                    .iter()
                    .any(|word| at > 0 && is(word, &tokens[at - 1]))
            {
                found.push((line, "who".to_owned(), "the thing by its name; `that`"));
            }
        }
    }
    found.sort();
    found
}

fn files(path: &Path, found: &mut Vec<String>) {
    let name = path.to_str().unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            files(&entry.unwrap().path(), found);
        }
    } else if name.ends_with(".rs") || name.ends_with(".md") {
        found.push(name.to_owned());
    }
}

fn is_in(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| match place.ends_with('/') {
        true => path.starts_with(place) || path.contains(&format!("/{place}")),
        false => path == *place,
    })
}

#[test]
fn things_are_called_by_their_names() {
    let mut paths = Vec::new();
    for place in CHECKED {
        files(Path::new(place), &mut paths);
    }
    paths.retain(|path| !is_in(path, LEFT_OUT));
    let mut found = Vec::new();
    for path in paths {
        for (line, phrase, better) in findings(&path, &fs::read_to_string(&path).unwrap()) {
            found.push(format!("{path}:{line}: {phrase} -> {better}"));
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The lines of doc comments that begin with "What", a clause in place of a noun.
fn clauses(text: &str) -> Vec<usize> {
    let marks = ["///", "//!"];
    let mut found = Vec::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        let doc = marks.iter().find_map(|mark| line.trim().strip_prefix(mark));
        if !inside && doc.is_some_and(|doc| doc.starts_with(" What ")) {
            found.push(index + 1);
        }
        inside = doc.is_some();
    }
    found
}

#[test]
fn doc_comments_begin_with_a_noun_or_a_verb() {
    let mut paths = Vec::new();
    for place in NOUNS {
        files(Path::new(place), &mut paths);
    }
    paths.retain(|path| path.ends_with(".rs") && !is_in(path, LEFT_OUT));
    assert!(!paths.is_empty());
    let mut found = Vec::new();
    for path in paths {
        let lines = clauses(&fs::read_to_string(&path).unwrap());
        found.extend(lines.iter().map(|line| format!("{path}:{line}")));
    }
    assert!(
        found.is_empty(),
        "\"What …\": name the thing\n{}",
        found.join("\n")
    );
}

#[test]
fn clauses_are_found() {
    let text = "//! What it is.\n\n    /// What it does.\n/// A thing.\n/// What follows is its text.\n// What.";
    assert_eq!(clauses(text), [1, 3]);
}

#[test]
fn checked_places_exist() {
    for place in CHECKED.iter().chain(NOUNS) {
        let path = Path::new(place);
        assert!(
            path.exists() && path.is_dir() == place.ends_with('/'),
            "{place}"
        );
    }
}

fn lines(path: &str, text: &str) -> Vec<usize> {
    findings(path, text)
        .into_iter()
        .map(|(line, ..)| line)
        .collect()
}

#[test]
fn words_are_found() {
    for text in [
        "Whoever waits.",
        "The so-manieth call.",
        "The thread who waits.",
        "It sends so\nmany bytes.",
        "It has a thread of\n its own.",
        "It is fast, and small at that.",
        "It ends. One that failed stays.",
        "Wait: one which failed.",
        "All but for `this`.",
        "Octets of a string",
    ] {
        assert_eq!(lines("page.md", text), [1], "{text}");
        let comment: Vec<_> = text.lines().map(|line| format!("/// {line}")).collect();
        assert_eq!(lines("file.rs", &comment.join("\n")), [1], "{text}");
        assert_eq!(
            lines(
                "file.rs",
                &format!("\n\nfn f(c: &'a str, '\"') {{ \"{text}\" }}")
            ),
            [3],
            "{text}"
        );
    }
    let example = "//! Text.\n//!\n//! ```\n//! let x = 1; // nobody\n//! ```\n//! Somebody.";
    assert_eq!(lines("file.rs", example), [4, 6]);
}

#[test]
fn names_and_other_words_are_not() {
    for text in [
        "Users who wait.",
        "At that time.",
        "`Octets` and `octets`.",
        "The one that failed.",
        "Why is there a table?",
        "It is so. Many wait.",
        "It sends but, for now, slowly.",
        "```text\nnobody\n```",
        "<!-- ratios -->\n| octets: call |\n<!-- /ratios -->",
        "```\nlet octets = nobody();\n```",
    ] {
        assert_eq!(lines("page.md", text), [0; 0], "{text}");
    }
    assert_eq!(
        lines("file.rs", "let octets = \"octets\"; // bytes"),
        [0; 0]
    );
    assert_eq!(
        lines(
            "file.rs",
            "let x = r#\"a \"quoted\" one\"#; let nobody = 1;"
        ),
        [0; 0]
    );
}
