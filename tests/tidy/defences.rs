//! The scripts of `tests/defences`, each of which removes a defence: they fit the sources and the page.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

const FOLDER: &str = "tests/defences";

/// The comments of a script that begin with `name`.
fn fields<'t>(script: &'t str, name: &str) -> Vec<&'t str> {
    let begin = format!("# {name}: ");
    let lines = script.lines();
    lines.filter_map(|line| line.strip_prefix(&begin)).collect()
}

/// All scripts by name.
fn scripts() -> BTreeMap<String, String> {
    let files = fs::read_dir(FOLDER).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let scripts = files.filter(|path| path.extension().is_some_and(|end| end == "sed"));
    let named = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    scripts
        .map(|path| (named(&path), fs::read_to_string(&path).unwrap()))
        .collect()
}

/// Why a script does not change this file, if it does not.
fn unchanged(name: &str, file: &str) -> Option<String> {
    let Ok(before) = fs::read(file) else {
        return Some(format!("there is no {file}"));
    };
    let path = format!("{FOLDER}/{name}.sed");
    let sed = Command::new("sed").args(["-f", &path, file]).output();
    let changed = sed.unwrap();
    if !changed.status.success() {
        return Some(String::from_utf8_lossy(&changed.stderr).into_owned());
    }
    (changed.stdout == before).then(|| {
        format!("it changes nothing in {file}: fit it to the code that is the defence now")
    })
}

/// Returns the fault of a script, if it has one.
fn fault(name: &str, script: &str) -> Option<String> {
    let files = fields(script, "file");
    let ([_], [test]) = (&fields(script, "target")[..], &fields(script, "test")[..]) else {
        return Some("it does not say one `target` and one `test`".into());
    };
    if files.is_empty() {
        return Some("it does not say a `file`".into());
    }
    if let Some(fault) = files.iter().find_map(|file| unchanged(name, file)) {
        return Some(fault);
    }
    let page = fs::read_to_string("docs/reliability.md").unwrap();
    let function = test.rsplit("::").next().unwrap_or_default();
    let row = format!("::{function}` | {name} |");
    (!page.contains(&row)).then(|| format!("docs/reliability.md has no row with `{row}`"))
}

#[test]
fn each_script_removes_a_defence_and_has_a_row() {
    let scripts = scripts();
    assert!(scripts.len() > 100, "{}", scripts.len());
    let faults: Vec<_> = scripts
        .iter()
        .filter_map(|(name, script)| Some(format!("{name}: {}", fault(name, script)?)))
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// A row names no script that is gone.
#[test]
fn scripts_that_the_page_names_exist() {
    let scripts = scripts();
    let page = fs::read_to_string("docs/reliability.md").unwrap();
    let (mut count, mut missing) = (0, Vec::new());
    for heading in ["## Promise and tests", "## Faults and tests", "## Defences"] {
        let (_, section) = page.split_once(heading).expect("the page has the section");
        let section = section.split("\n## ").next().unwrap_or_default();
        let rows = section.lines().filter(|line| line.starts_with("| "));
        let last = rows.filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
        let is_list = |cell: &&str| {
            !cell.starts_with("Structural") && !cell.contains("defence") && *cell != "–"
        };
        let named = last.filter(is_list);
        for name in named.flat_map(|cell| cell.split(", ")) {
            count += 1;
            if !scripts.contains_key(name) && name != "script" {
                missing.push(name.to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
    assert!(count > 200, "{count}");
}
