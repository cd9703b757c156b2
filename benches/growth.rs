//! How cost grows: `cargo bench -p benches --bench growth -- [OPTIONS] [FILTER]`.
//!
//! Calls per second over the number of calls in flight, of calling threads, of children, and over the length of what
//! is sent. Nothing may bend except for a known reason: see `docs/performance.md`.
//!
//! * `--rounds N`: default 3; each round has every point once
//! * `--turn MILLISECONDS`: how long a point is measured; default 300
//! * `--largest BYTES`: the largest payload. It is held six times, in parent and child; so by default it is
//!   1 GiB where 12 GiB are free, else 32 MiB.
//! * `--publish`: puts the tables and `growth.svg` into `docs`, too
//! * `FILTER`: only the curves whose name has this

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

use offspring::{Octets, Rpc};
use rows::calls::{SMALL, blocking, concurrent};
use rows::{Row, bare};
use support::page;
use support::svg::{Anchor, COLOURS, Scale, Svg, short};

type Echo = Rpc<fn(Vec<u8>) -> Vec<u8>, Octets>;

/// A curve: how to measure a point of it.
struct Curve {
    name: &'static str,
    points: Vec<u64>,
    start: fn(u64) -> Row,
    /// The measured calls per second, each round.
    rates: Vec<Vec<f64>>,
}

/// Curves over the same thing.
struct Panel {
    title: &'static str,
    curves: Vec<Curve>,
}

fn curve(name: &'static str, points: &[u64], start: fn(u64) -> Row) -> Curve {
    Curve {
        name,
        points: points.to_vec(),
        start,
        rates: vec![Vec::new(); points.len()],
    }
}

fn spawn() -> Echo {
    blocking().spawn().expect("a child")
}

fn row<R>(start: impl FnOnce() -> R + 'static) -> Row
where
    R: FnMut(u64) -> Duration + 'static,
{
    Row::new("", start)
}

fn outstanding(window: u64) -> Row {
    row(move || rows::calls::pipelined(spawn(), window as usize))
}

fn outstanding_concurrent(window: u64) -> Row {
    let start = || concurrent().spawn().expect("a child");
    row(move || rows::calls::pipelined(start(), window as usize))
}

fn echo_once(rpc: &Echo) {
    assert_eq!(rpc.call(SMALL).wait().expect("an answer"), SMALL);
}

fn threads(threads: u64) -> Row {
    row(move || {
        let rpc = spawn();
        move |times| rows::in_threads(threads, times, |_| echo_once(&rpc))
    })
}

fn threads_and_children(threads: u64) -> Row {
    row(move || {
        let children: Vec<_> = (0..threads).map(|_| spawn()).collect();
        move |times| {
            rows::in_threads(threads, times, |thread| {
                echo_once(&children[thread as usize])
            })
        }
    })
}

/// One thread: a call to each child, then all the answers.
fn children(children: u64) -> Row {
    row(move || {
        let all: Vec<_> = (0..children).map(|_| spawn()).collect();
        move |times| {
            let laps = times.div_ceil(children);
            let taken = rows::timed(laps, || {
                let calls: Vec<_> = all.iter().map(|rpc| rpc.call(SMALL)).collect();
                for call in calls {
                    assert_eq!(call.wait().expect("an answer"), SMALL);
                }
            });
            taken.mul_f64(times as f64 / (laps * children) as f64)
        }
    })
}

fn payload(bytes: u64) -> Row {
    // A message is 1 GiB at most, with what its form adds.
    let bytes = bytes.min((1 << 30) - 64);
    row(move || {
        let (rpc, payload) = (spawn(), vec![7; bytes as usize]);
        move |times| {
            rows::timed(times, || {
                let answer = rpc.call(&payload).wait().expect("an answer");
                assert_eq!(answer.len(), payload.len());
            })
        }
    })
}

fn bare_payload(bytes: u64) -> Row {
    row(move || bare::echoes(bytes as usize, false))
}

fn panels(largest: u64) -> Vec<Panel> {
    const WINDOWS: [u64; 6] = [1, 10, 100, 1000, 10_000, 100_000];
    const POWERS: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];
    let mut payloads: Vec<u64> = (0..=10).map(|power| 8u64.pow(power)).collect();
    payloads.retain(|bytes| *bytes <= largest);
    vec![
        Panel {
            title: "calls in flight",
            curves: vec![
                curve("blocking child", &WINDOWS, outstanding),
                curve("concurrent child", &WINDOWS, outstanding_concurrent),
            ],
        },
        Panel {
            title: "calling threads",
            curves: vec![
                curve("of one child", &POWERS, threads),
                curve("a child for each", &POWERS, threads_and_children),
            ],
        },
        Panel {
            title: "children, called by one thread",
            curves: vec![curve("a call in each", &POWERS, children)],
        },
        Panel {
            title: "bytes there and back",
            curves: vec![
                curve("blocking child", &payloads, payload),
                curve("bare socketpair", &payloads, bare_payload),
            ],
        },
    ]
}

struct Options {
    rounds: u64,
    turn: Duration,
    largest: u64,
    publish: bool,
    filter: String,
}

impl Options {
    fn read() -> Self {
        let mut options = Self {
            rounds: 3,
            turn: Duration::from_millis(300),
            largest: if free_kib() >= 12 << 20 {
                1 << 30
            } else {
                32 << 20
            },
            publish: false,
            filter: String::new(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || {
                arguments
                    .next()
                    .and_then(|text| text.parse().ok())
                    .expect("a number")
            };
            match argument.as_str() {
                // Said by cargo.
                "--bench" => {}
                "--rounds" => options.rounds = number(),
                "--turn" => options.turn = Duration::from_millis(number()),
                "--largest" => options.largest = number(),
                "--publish" => options.publish = true,
                _ => options.filter = argument,
            }
        }
        options
    }
}

fn free_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

/// Calls per second; the child is gone afterwards.
fn rate(mut row: Row, turn: Duration) -> f64 {
    let times = row.times_in(turn);
    times as f64 / row.run(times).as_secs_f64()
}

fn measure(panels: &mut [Panel], options: &Options) {
    for round in 1..=options.rounds {
        for curve in panels.iter_mut().flat_map(|panel| &mut panel.curves) {
            for (point, rates) in curve.points.iter().zip(&mut curve.rates) {
                rates.push(rate((curve.start)(*point), options.turn));
            }
        }
        eprintln!("round {round} of {} done", options.rounds);
    }
}

impl Curve {
    fn medians(&self) -> impl Iterator<Item = (u64, f64)> {
        let points = self.points.iter().zip(&self.rates);
        points.map(|(point, rates)| (*point, page::median(rates)))
    }
}

fn tables(panels: &[Panel], options: &Options) -> String {
    let mut text = format!(
        "Calls per second; medians of {} rounds of {} ms a point, on {}.\n",
        options.rounds,
        options.turn.as_millis(),
        page::machine()
    );
    for panel in panels {
        write!(text, "\n| {} |", panel.title).expect("a string takes everything");
        panel
            .curves
            .iter()
            .for_each(|curve| write!(text, " {} |", curve.name).expect("as above"));
        write!(text, "\n|--:|{}\n", "--:|".repeat(panel.curves.len())).expect("as above");
        let columns: Vec<Vec<_>> = panel
            .curves
            .iter()
            .map(|curve| curve.medians().collect())
            .collect();
        for line in 0..columns[0].len() {
            write!(text, "| {} |", columns[0][line].0).expect("as above");
            for column in &columns {
                let rate = column[line].1;
                let digits = if rate < 100.0 { 2 } else { 0 };
                write!(text, " {rate:.digits$} |").expect("as above");
            }
            text.push('\n');
        }
    }
    text
}

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 280.0;

fn draw(svg: &mut Svg, panel: &Panel, (left, top): (f64, f64)) {
    let all = || panel.curves.iter().flat_map(Curve::medians);
    let across = Scale::around(
        all().map(|(point, _)| point as f64),
        left + 50.0,
        left + WIDTH - 20.0,
    );
    let up = Scale::around(all().map(|(_, rate)| rate), top + HEIGHT - 40.0, top + 40.0);
    for mark in across.marks() {
        let x = across.place(mark);
        svg.line((x, top + 40.0), (x, top + HEIGHT - 40.0), "#eee");
        svg.text((x, top + HEIGHT - 26.0), Anchor::Middle, &short(mark));
    }
    for mark in up.marks() {
        let y = up.place(mark);
        svg.line((left + 50.0, y), (left + WIDTH - 20.0, y), "#ddd");
        svg.text((left + 45.0, y + 4.0), Anchor::End, &short(mark));
    }
    svg.text(
        (left + WIDTH / 2.0, top + HEIGHT - 10.0),
        Anchor::Middle,
        panel.title,
    );
    for (at, curve) in panel.curves.iter().enumerate() {
        let points: Vec<_> = curve
            .medians()
            .map(|(point, rate)| (across.place(point as f64), up.place(rate)))
            .collect();
        svg.curve(&points, COLOURS[at]);
        let x = left + 60.0 + 150.0 * at as f64;
        svg.dot((x, top + 22.0), 4.0, COLOURS[at]);
        svg.text((x + 8.0, top + 26.0), Anchor::Start, curve.name);
    }
}

fn picture(panels: &[Panel]) -> String {
    let lines = panels.len().div_ceil(2) as f64;
    let mut svg = Svg::new(WIDTH * 2.0, HEIGHT * lines + 20.0);
    svg.text((WIDTH, 16.0), Anchor::Middle, "calls per second");
    for (at, panel) in panels.iter().enumerate() {
        let place = ((at % 2) as f64 * WIDTH, (at / 2) as f64 * HEIGHT + 10.0);
        draw(&mut svg, panel, place);
    }
    svg.finish()
}

fn main() {
    offspring::init();
    bare::serve_if_asked();
    let options = Options::read();
    let mut panels = panels(options.largest);
    panels.retain(|panel| panel.title.contains(&options.filter));
    measure(&mut panels, &options);
    let tables = tables(&panels, &options);
    println!("{tables}");
    if options.publish {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        page::replace(&docs.join("performance.md"), "growth", &tables);
        std::fs::write(docs.join("growth.svg"), picture(&panels)).expect("docs can be written");
    }
}
