//! Runs the peers side by side. Each round runs each row of each workload once, so a disturbance of the machine affects
//! all rows alike. Prints a table of ratios, and writes all results to a folder.
//!
//!     cargo run --release --manifest-path benches/peers/Cargo.toml -- [OPTIONS]
//!
//! * `--quick`: fewer calls, two rounds
//! * `--rounds N`: default 5
//! * `--rows A,B` and `--workloads A,B`: only these (see `src/plan.rs`); a row is also chosen by its program's name
//! * `--output DIR`: instead of `peers-results` in the target folder
//! * `--publish`: also puts the tables and the plot into README.md and docs
//!
//! The Perl original takes part if `AnyEvent::Fork::RPC` is found (`PERL5LIB`), zmq if it builds.

mod plan;
mod report;
mod results;

#[path = "../../support/page.rs"]
mod page;
#[path = "../../support/svg.rs"]
#[allow(dead_code, reason = "shared with the growth bench")]
mod svg;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use plan::{PERL, ROWS, Row};
use results::Results;

const HERE: &str = env!("CARGO_MANIFEST_DIR");
const LOCK: &str = include_str!("../Cargo.lock");
const CRATES: &[&str] = &[
    "ipc-channel",
    "tarpc",
    "procspawn",
    "zmq",
    "tokio",
    "smol",
    "postcard",
];

struct Options {
    full: bool,
    rounds: usize,
    rows: Vec<String>,
    workloads: Vec<String>,
    output: PathBuf,
    publish: bool,
}

impl Options {
    fn read() -> Self {
        let own = std::env::current_exe().expect("a name");
        let target = own.ancestors().nth(2).expect("the target folder");
        let mut options = Self {
            full: true,
            rounds: 5,
            rows: Vec::new(),
            workloads: Vec::new(),
            output: target.join("peers-results"),
            publish: false,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .unwrap_or_else(|| panic!("{argument} takes a value"))
            };
            let list = |text: String| text.split(',').map(str::to_owned).collect();
            match argument.as_str() {
                "--quick" => (options.full, options.rounds) = (false, 2),
                "--publish" => options.publish = true,
                "--rounds" => options.rounds = value().parse().expect("a number of rounds"),
                "--rows" => options.rows = list(value()),
                "--workloads" => options.workloads = list(value()),
                "--output" => options.output = value().into(),
                _ => panic!("no option {argument}: see src/main.rs"),
            }
        }
        options
    }

    fn wants(&self, row: &Row, workload: &str) -> bool {
        let named = |name: &str| self.rows.iter().any(|row| row == name);
        (self.rows.is_empty() || named(row.name) || named(row.program))
            && (self.workloads.is_empty() || self.workloads.iter().any(|named| named == workload))
    }

    fn mode(&self) -> &'static str {
        if self.full { "full" } else { "quick" }
    }
}

/// Returns the programs that can be run. Adds to `failures` why others cannot.
fn programs(options: &Options, failures: &mut Vec<String>) -> BTreeMap<&'static str, PathBuf> {
    let wanted = |row: &&Row| {
        row.workloads
            .split(' ')
            .any(|workload| options.wants(row, workload))
    };
    let names: BTreeSet<_> = ROWS.iter().filter(wanted).map(|row| row.program).collect();
    let mut found = BTreeMap::new();
    for name in names {
        match if name == PERL {
            look_for_perl()
        } else {
            build(name)
        } {
            Ok(path) => drop(found.insert(name, path)),
            Err(why) => failures.push(why),
        }
    }
    found
}

fn build(name: &str) -> Result<PathBuf, String> {
    eprintln!("building {name}");
    let manifest = Path::new(HERE).join("Cargo.toml");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--quiet",
        "--release",
        "--bin",
        name,
        "--features",
        name,
        "--manifest-path",
    ]);
    let output = cargo
        .arg(manifest)
        .output()
        .map_err(|error| error.to_string())?;
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(own.with_file_name(name));
    }
    Err(format!(
        "{name} does not build: {}",
        first_line(&output.stderr, "error")
    ))
}

fn look_for_perl() -> Result<PathBuf, String> {
    let modules = [
        "-MEV",
        "-MAnyEvent::Fork::RPC",
        "-MJSON::XS",
        "-MCBOR::XS",
        "-e1",
    ];
    let output = Command::new("perl").args(modules).output();
    match output {
        Ok(output) if output.status.success() => Ok("perl".into()),
        Ok(output) => Err(format!(
            "the original: {}",
            first_line(&output.stderr, "Can't locate")
        )),
        Err(error) => Err(format!("the original: perl: {error}")),
    }
}

fn first_line(bytes: &[u8], start: &str) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text
        .lines()
        .find(|line| line.starts_with(start))
        .or_else(|| text.lines().next());
    let line = line.unwrap_or("it said nothing");
    line.split(" (")
        .next()
        .unwrap_or(line)
        .chars()
        .take(120)
        .collect()
}

/// Runs one repetition of one workload for one row.
fn run(row: &Row, program: &Path, workload: &str, mode: &str) -> Result<Output, String> {
    let mut command = Command::new(program);
    if row.program == PERL {
        command.arg(Path::new(HERE).join("perl/original.pl"));
    }
    command
        .args([row.variant, workload, mode])
        .stdin(Stdio::null());
    command.envs(row.environment.split_once('='));
    let _pinned = workload.ends_with("pin").then(peers::sys::Pinned::new);
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!(
        "{}, {}",
        output.status,
        first_line(&output.stderr, "thread")
    ))
}

fn measure(
    options: &Options,
    programs: &BTreeMap<&str, PathBuf>,
    failures: &mut Vec<String>,
) -> Results {
    let workloads: Vec<&str> = {
        let mut seen = Vec::new();
        let all = plan::MEASURES.iter().map(|measure| measure.workload);
        all.for_each(|workload| {
            if !seen.contains(&workload) {
                seen.push(workload)
            }
        });
        seen
    };
    let mut results = Results::default();
    for round in 1..=options.rounds {
        for workload in &workloads {
            let takes_part = |row: &&Row| row.workloads.split(' ').any(|one| one == *workload);
            for row in ROWS
                .iter()
                .filter(takes_part)
                .filter(|row| options.wants(row, workload))
            {
                let Some(program) = programs.get(row.program) else {
                    continue;
                };
                match run(row, program, workload, options.mode()) {
                    Ok(output) => String::from_utf8_lossy(&output.stdout)
                        .lines()
                        .for_each(|line| results.take(round, row.name, line)),
                    Err(why) => {
                        failures.push(format!("{} {workload}, round {round}: {why}", row.name))
                    }
                }
            }
        }
        eprintln!("round {round} of {} done", options.rounds);
    }
    results
}

/// Describes the machine and the versions.
fn head(options: &Options) -> String {
    let versions: Vec<_> = CRATES
        .iter()
        .filter_map(|name| {
            let (_, rest) = LOCK.rsplit_once(&format!("\nname = \"{name}\"\nversion = \""))?;
            Some(format!("{name} {}", rest.split('"').next()?))
        })
        .collect();
    let counts = if options.full {
        ""
    } else {
        ", with few calls (`--quick`): a look, and no measurement"
    };
    format!(
        "Medians of {} rounds on {}{counts}. {}.\n",
        options.rounds,
        page::machine(),
        versions.join(", ")
    )
}

fn publish(results: &Results, head: &str) {
    let root = Path::new(HERE).join("../..");
    let summary = report::summary(results);
    page::replace(&root.join("README.md"), "peers", &report::front(results));
    let page = root.join("docs/performance.md");
    page::replace(&page, "peers", &format!("{head}\n{summary}"));
    page::replace(&page, "formats", &report::formats(results));
    page::replace(&page, "variants", &report::variants(results));
    std::fs::write(root.join("docs/peers.svg"), report::picture(results))
        .expect("docs can be written");
}

fn main() {
    let options = Options::read();
    let mut failures = Vec::new();
    let programs = programs(&options, &mut failures);
    let results = measure(&options, &programs, &mut failures);
    let head = head(&options);
    let text = report::full(&results, &head, &failures);
    let folder = &options.output;
    std::fs::create_dir_all(folder).expect("a folder for the results");
    let lines = format!(
        "round,row,workload,metric,value\n{}\n",
        results.lines.join("\n")
    );
    for (name, text) in [
        ("results.csv", &lines),
        ("results.md", &text),
        ("peers.svg", &report::picture(&results)),
    ] {
        std::fs::write(folder.join(name), text).expect("results can be written");
    }
    println!(
        "{head}\n{}\n{}",
        report::summary(&results),
        report::formats(&results)
    );
    failures
        .iter()
        .for_each(|line| println!("left out: {line}"));
    println!("all of it: {}", folder.display());
    if options.publish {
        publish(&results, &head);
    }
}
