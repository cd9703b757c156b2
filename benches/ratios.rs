//! Every row beside the bare socketpair: `cargo bench -p benches --bench ratios -- [OPTIONS] [FILTER]`.
//!
//! criterion measures a row for seconds, and then the next one; what disturbs the machine meanwhile is in their ratio.
//! Here each row has a short turn in each round, and what is printed is the median of its turns.
//!
//! * `--rounds N`: default 11
//! * `--turn MILLISECONDS`: how long a turn is; default 50
//! * `--publish`: puts the tables into `docs/performance.md`, too
//! * `FILTER`: only groups whose name has this

#[allow(
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "shared with the other benches"
)]
mod rows;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use rows::{BARE, Group};
use support::page::{self, median};

struct Options {
    rounds: usize,
    turn: Duration,
    publish: bool,
    filter: String,
}

impl Options {
    fn read() -> Self {
        let mut options = Self {
            rounds: 11,
            turn: Duration::from_millis(50),
            publish: false,
            filter: String::new(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().and_then(|text| text.parse().ok());
            match argument.as_str() {
                // Said by cargo.
                "--bench" => {}
                "--rounds" => options.rounds = number().expect("a number of rounds") as usize,
                "--turn" => options.turn = Duration::from_millis(number().expect("milliseconds")),
                "--publish" => options.publish = true,
                _ => options.filter = argument,
            }
        }
        options
    }
}

/// Microseconds for each row.
fn measure(group: &mut Group, options: &Options) -> Vec<f64> {
    let turns: Vec<u64> = group
        .rows
        .iter_mut()
        .map(|row| row.times_in(options.turn))
        .collect();
    let mut values = vec![Vec::new(); turns.len()];
    for _ in 0..options.rounds {
        for ((row, times), values) in group.rows.iter_mut().zip(&turns).zip(&mut values) {
            values.push(row.run(*times).as_secs_f64() * 1e6 / *times as f64);
        }
    }
    values.iter().map(|turns| median(turns)).collect()
}

fn figure(value: f64) -> String {
    let digits = match value {
        value if value < 1.0 => 3,
        value if value < 10.0 => 2,
        value if value < 1000.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

fn ratio(value: f64) -> String {
    match value {
        value if value < 0.01 => format!("{value:.4}"),
        value if value < 10.0 => format!("{value:.2}"),
        value => format!("{value:.1}"),
    }
}

fn table(group: &Group, values: &[f64]) -> String {
    let mut text = format!(
        "| {} | µs | of blocking | of spinning | of one CPU |\n",
        group.name
    );
    text.push_str("|---|--:|--:|--:|--:|\n");
    for (row, value) in group.rows.iter().zip(values) {
        write!(text, "| {} | {} |", row.name, figure(*value)).expect("a string takes everything");
        for bare in &values[..BARE] {
            write!(text, " {} |", ratio(value / bare)).expect("a string takes everything");
        }
        text.push('\n');
    }
    text
}

const PAIRS: &str = "two children, two threads";

/// The gain or cost of spinning for two children that are called by two threads. The turns alternate; the result is the
/// median of their ratios.
fn pairs(options: &Options) -> String {
    let mut text = format!("| {PAIRS}: a call | µs, spinning off | on, of off |\n|---|--:|--:|\n");
    for mut pair in rows::pairs::pairs() {
        let times = [&mut pair.off, &mut pair.on].map(|row| row.times_in(options.turn));
        let each =
            |row: &mut rows::Row, times: u64| row.run(times).as_secs_f64() * 1e6 / times as f64;
        let turns = (0..options.rounds).map(|round| {
            let early = (round % 2 == 0).then(|| each(&mut pair.on, times[1]));
            let off = each(&mut pair.off, times[0]);
            (off, early.unwrap_or_else(|| each(&mut pair.on, times[1])))
        });
        let turns: Vec<_> = turns.collect();
        let off = turns.iter().map(|(off, _)| *off).collect::<Vec<_>>();
        let of_off = turns.iter().map(|(off, on)| on / off).collect::<Vec<_>>();
        let (off, of_off) = (median(&off), median(&of_off));
        let (name, off, of_off) = (&pair.name, figure(off), ratio(of_off));
        writeln!(text, "| {name} | {off} | {of_off} |").expect("a string takes everything");
    }
    text
}

fn main() {
    offspring::init();
    rows::bare::serve_if_asked();
    rows::bare::fork_if_asked();
    let options = Options::read();
    let mut pages = format!(
        "Medians of {} turns of {} ms each, on {}.\n",
        options.rounds,
        options.turn.as_millis(),
        page::machine()
    );
    println!("{pages}");
    for mut group in rows::groups() {
        if group.name.contains(&options.filter) {
            let values = measure(&mut group, &options);
            let table = table(&group, &values);
            println!("{table}");
            pages.push('\n');
            pages.push_str(&table);
        }
    }
    if PAIRS.contains(&options.filter) {
        let table = pairs(&options);
        println!("{table}");
        pages.push('\n');
        pages.push_str(&table);
    }
    if options.publish {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md");
        page::replace(&page, "ratios", &pages);
    }
}
