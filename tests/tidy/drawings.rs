//! The drawings in the pages: mermaid reads them. No parser of mermaid is a crate, so this one knows the part of the syntax
//! that the pages use, and refuses the rest. A new form belongs here once a browser has shown it.

use std::fs;
use std::path::Path;

/// The text of each drawing in a page, with the line where it begins.
fn drawings(page: &str) -> Vec<(usize, Vec<&str>)> {
    let mut found: Vec<(usize, Vec<&str>)> = Vec::new();
    let mut open = false;
    for (index, line) in page.lines().enumerate() {
        if open && line.trim() == "```" {
            open = false;
        } else if line.trim() == "```mermaid" {
            open = true;
            found.push((index + 1, Vec::new()));
        } else if open {
            found.last_mut().unwrap().1.push(line.trim());
        }
    }
    found
}

/// A semicolon ends a statement, and a number sign begins an entity.
fn is_text(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains([';', '#'])
}

fn is_id(id: &str) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    !id.is_empty() && id != "end" && id.chars().all(is_part)
}

/// `participant T as text`, `T->>D: text`, `T-->>D: text`, `Note over T: text`.
fn is_sequence(lines: &[&str]) -> Result<(), String> {
    let mut participants = Vec::new();
    for line in lines {
        if let Some(declared) = line.strip_prefix("participant ") {
            let (id, text) = declared.split_once(" as ").ok_or(*line)?;
            if !is_id(id) || !is_text(text) {
                return Err((*line).into());
            }
            participants.push(id);
            continue;
        }
        let (ends, text) = line.split_once(": ").ok_or(*line)?;
        let ids = match ends.strip_prefix("Note over ") {
            Some(id) => vec![id],
            None => {
                let (from, to) = ends.split_once("->>").ok_or(*line)?;
                vec![from.trim_end_matches('-'), to]
            }
        };
        if !is_text(text) || ids.iter().any(|id| !participants.contains(id)) {
            return Err((*line).into());
        }
    }
    Ok(())
}

/// `id`, `id[text]`, `id["text"]` or `id([text])`. Brackets in a text need quotes.
fn is_node(node: &str) -> bool {
    let Some(at) = node.find(['[', '(']) else {
        return is_id(node);
    };
    let (id, shape) = node.split_at(at);
    let inside = shape
        .strip_prefix("([")
        .and_then(|rest| rest.strip_suffix("])"));
    let inside = inside.or_else(|| shape.strip_prefix('[')?.strip_suffix(']'));
    is_id(id)
        && inside.is_some_and(|text| {
            let quoted = text
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            let forbidden: &[char] = match quoted {
                Some(_) => &['"'],
                None => &['"', '[', ']', '(', ')', '{', '}', '<', '>'],
            };
            let text = quoted.unwrap_or(text);
            is_text(text) && !text.contains(forbidden)
        })
}

/// Nodes, `subgraph id [text]` to `end`, and two nodes with `-->`, `-.->` or `-- "text" -->` between them.
fn is_flowchart(lines: &[&str]) -> Result<(), String> {
    let mut depth = 0;
    for line in lines {
        let arrow = [" --> ", " -.-> "]
            .iter()
            .find_map(|arrow| line.split_once(arrow));
        let fine = match (line.strip_prefix("subgraph "), arrow) {
            (Some(head), _) => {
                depth += 1;
                is_node(&head.replacen(" [", "[", 1))
            }
            _ if *line == "end" && depth > 0 => {
                depth -= 1;
                true
            }
            (_, Some((from, to))) => {
                let (from, text) = from.split_once(" -- ").unwrap_or((from, "\"text\""));
                let text = text
                    .strip_prefix('"')
                    .and_then(|rest| rest.strip_suffix('"'));
                is_node(from)
                    && is_node(to)
                    && text.is_some_and(|text| is_text(text) && !text.contains('"'))
            }
            _ => is_node(line),
        };
        if !fine {
            return Err((*line).into());
        }
    }
    if depth == 0 {
        Ok(())
    } else {
        Err("`end` is missing".into())
    }
}

fn check(lines: &[&str]) -> Result<(), String> {
    match lines.split_first() {
        Some((&"sequenceDiagram", rest)) => is_sequence(rest),
        Some((&("flowchart LR" | "flowchart TD"), rest)) => is_flowchart(rest),
        _ => Err("no kind of drawing that the pages use".into()),
    }
}

#[test]
fn drawings_can_be_read() {
    let mut count = 0;
    let pages = fs::read_dir("docs")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    for page in pages.chain([Path::new("README.md").to_owned()]) {
        if page.extension().is_some_and(|extension| extension == "md") {
            for (line, drawing) in drawings(&fs::read_to_string(&page).unwrap()) {
                count += 1;
                let outcome = check(&drawing);
                assert_eq!(outcome, Ok(()), "{}:{line}", page.display());
            }
        }
    }
    assert!(count >= 2, "{count}");
}

/// Mermaid 11 refuses each of these lines, too.
#[test]
fn faults_in_drawings_are_found() {
    let faulty = |kind: &str, line: &str| check(&[kind, "participant A as a", line]).is_err();
    for line in ["A->>B: text", "A->>A", "A->>A: one; two", "Note A: text"] {
        assert!(faulty("sequenceDiagram", line), "{line}");
    }
    assert!(!faulty("sequenceDiagram", "A-->>A: text"));
    for line in [
        "a[f(x)]",
        "a[\"text]",
        "a - b",
        "subgraph a [b]",
        "end",
        "end --> b",
        "a --> b c",
    ] {
        assert!(check(&["flowchart LR", line]).is_err(), "{line}");
    }
    assert_eq!(
        check(&["flowchart LR", "a([b]) -- \"c\" --> d[\"e(f)<br>g\"]"]),
        Ok(())
    );
    assert!(check(&["graph LR", "a"]).is_err());
}
