//! Tables and a plot of the results.

use std::fmt::Write;

use crate::plan::{FORMATS, MEASURES, Measure};
use crate::results::{Found, Results};
use crate::svg::{Anchor, COLOURS, Scale, Svg, short};

fn figure(measure: &Measure, value: f64) -> String {
    format!("{:.*}", measure.digits, value * measure.scale)
}

/// Formats a ratio with two significant digits. The third would be noise.
pub fn ratio(value: f64) -> String {
    match value {
        value if value < 0.095 => format!("{value:.3}"),
        value if value < 9.95 => format!("{value:.2}"),
        value if value < 99.5 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

fn base(results: &Results, measure: &Measure) -> Option<String> {
    let median = results.find(measure.base, measure)?.median;
    let other = if measure.base == "bare"
        || measure.base == "bare-2-processes"
        || measure.base == "bare-postcard"
    {
        ""
    } else {
        measure.base
    };
    Some(
        format!("{} {} {other}", figure(measure, median), measure.unit)
            .trim_end()
            .to_owned(),
    )
}

/// The measures in the README's table: workload and metric.
const FRONT: &[(&str, &str)] = &[
    ("rtt32", "us"),
    ("pipe32", "calls_s"),
    ("bulk1m", "gib_s"),
    ("struct", "calls_s"),
    ("spawn", "ms"),
    ("fork", "ms"),
];

/// The README's table.
pub fn front(results: &Results) -> String {
    table(results, |own| FRONT.contains(&(own.workload, own.metric)))
}

/// The table of costs in relation to the bare socketpair.
pub fn summary(results: &Results) -> String {
    table(results, |_| true)
}

fn table(results: &Results, has: impl Fn(&Measure) -> bool) -> String {
    let columns: Vec<_> = results.columns().collect();
    let mut text = String::from("| | 1.00 is |");
    for column in &columns {
        write!(text, " {} |", column.title).unwrap();
    }
    text.push_str("\n|---|--:|");
    text.push_str(&"--:|".repeat(columns.len()));
    text.push('\n');
    for measure in MEASURES.iter().filter(|own| has(own)) {
        let Some(base) = base(results, measure) else {
            continue;
        };
        write!(text, "| {} | {base} |", measure.title).unwrap();
        let found: Vec<_> = columns
            .iter()
            .map(|column| results.in_column(column, measure))
            .collect();
        let ratios = || found.iter().flatten().filter_map(|found| found.ratio);
        let best = ratios().fold(f64::MAX, f64::min);
        for found in &found {
            match found.as_ref().and_then(|found| found.ratio) {
                Some(value) if value == best => write!(text, " **{}** |", ratio(value)),
                Some(value) => write!(text, " {} |", ratio(value)),
                None => write!(text, " |"),
            }
            .unwrap();
        }
        text.push('\n');
    }
    text
}

/// The table of formats: this crate beside the format over a bare socketpair.
pub fn formats(results: &Results) -> String {
    let measure = MEASURES
        .iter()
        .find(|measure| measure.workload == "struct")
        .expect("the row exists");
    let mut text = String::from(
        "| | bare, calls/s | offspring, calls/s | of the bare rate |\n|---|--:|--:|--:|\n",
    );
    for (name, own, bare) in FORMATS {
        let (Some(own), Some(bare)) = (
            results.beside(own, measure, bare),
            results.find(bare, measure),
        ) else {
            continue;
        };
        let share = own.median / bare.median;
        writeln!(
            text,
            "| {name} | {:.0} | {:.0} | {share:.2} |",
            bare.median, own.median
        )
        .unwrap();
    }
    text
}

/// The table of this crate's rows, in relation to the bare socketpair.
pub fn variants(results: &Results) -> String {
    let mut text =
        String::from("| | row | median | least to most | beside bare |\n|---|---|--:|--:|--:|\n");
    for measure in MEASURES
        .iter()
        .filter(|measure| measure.workload != "struct")
    {
        let ours = results
            .ranking(measure)
            .into_iter()
            .filter(|found| found.row.starts_with("offspring"));
        for Found {
            row,
            median,
            least,
            most,
            ratio: of,
        } in ours
        {
            let of = of.map(ratio).unwrap_or_default();
            let [median, least, most] = [median, least, most].map(|value| figure(measure, value));
            let title = format!("{} {}", measure.workload, measure.unit);
            writeln!(
                text,
                "| {title} | {row} | {median} | {least} to {most} | {of} |"
            )
            .unwrap();
        }
    }
    text
}

/// All tables, with the machine and the failures.
pub fn full(results: &Results, head: &str, failures: &[String]) -> String {
    let mut text = format!("{head}\n{}", summary(results));
    for measure in MEASURES {
        let ranking = results.ranking(measure);
        if ranking.is_empty() {
            continue;
        }
        let Measure {
            workload,
            metric,
            title,
            unit,
            base,
            ..
        } = measure;
        let better = if measure.more_is_better {
            "more"
        } else {
            "less"
        };
        write!(
            text,
            "\n## {workload} {metric}\n\n{title}; {unit}, {better} is better\n\n"
        )
        .unwrap();
        write!(
            text,
            "| row | median | least to most | cost beside {base} |\n|---|--:|--:|--:|\n"
        )
        .unwrap();
        for found in ranking {
            let [median, least, most] =
                [found.median, found.least, found.most].map(|value| figure(measure, value));
            let of = found.ratio.map(ratio).unwrap_or_default();
            writeln!(
                text,
                "| {} | {median} | {least} to {most} | {of} |",
                found.row
            )
            .unwrap();
        }
    }
    if !failures.is_empty() {
        text.push_str("\n## What was left out\n\n");
        failures
            .iter()
            .for_each(|line| writeln!(text, "- {line}").unwrap());
    }
    text
}

/// The plot: a point for each column and workload.
pub fn picture(results: &Results) -> String {
    const LEFT: f64 = 260.0;
    const RIGHT: f64 = 820.0;
    const STEP: f64 = 24.0;
    const TOP: f64 = 50.0;
    let columns: Vec<_> = results.columns().collect();
    let measures: Vec<_> = MEASURES
        .iter()
        .filter(|measure| base(results, measure).is_some())
        .collect();
    let bottom = TOP + STEP * measures.len() as f64;
    let ratio_of = |column, measure: &Measure| results.in_column(column, measure)?.ratio;
    let all = measures.iter().flat_map(|measure| {
        columns
            .iter()
            .filter_map(|column| ratio_of(column, measure))
    });
    let scale = Scale::around(all.chain([1.0]), LEFT, RIGHT);
    let mut svg = Svg::new(RIGHT + 30.0, bottom + 36.0);
    for mark in scale.marks() {
        let x = scale.place(mark);
        svg.line(
            (x, TOP - 12.0),
            (x, bottom),
            if mark == 1.0 { "#222" } else { "#ddd" },
        );
        svg.text((x, bottom + 14.0), Anchor::Middle, &short(mark));
    }
    svg.text(
        ((LEFT + RIGHT) / 2.0, bottom + 30.0),
        Anchor::Middle,
        "cost beside the bare socketpair (1): less is better",
    );
    for (at, column) in columns.iter().enumerate() {
        let x = LEFT + 95.0 * at as f64;
        svg.dot((x, 16.0), 5.0, COLOURS[at]);
        svg.text((x + 9.0, 20.0), Anchor::Start, column.title);
    }
    for (line, measure) in measures.iter().enumerate() {
        let y = TOP + STEP * line as f64;
        let first = !measure.title.starts_with('…');
        let indent = if first { 0.0 } else { 12.0 };
        svg.text((10.0 + indent, y + 4.0), Anchor::Start, measure.title);
        svg.line((LEFT, y), (RIGHT, y), "#eee");
        // This crate's points are last, so they are on top.
        for (at, column) in columns.iter().enumerate().rev() {
            if let Some(ratio) = ratio_of(column, measure) {
                svg.dot(
                    (scale.place(ratio), y),
                    if at == 0 { 5.5 } else { 4.5 },
                    COLOURS[at],
                );
            }
        }
    }
    svg.finish()
}
