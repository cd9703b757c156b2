//! Makes thumbnails of the pictures in a folder, and does not trust what decodes them: each picture has a child of its
//! own, with little memory and CPU time, and one that kills its child is a line of the report.
//!
//! ```text
//! thumbnails [--jobs N] [--cpu SECONDS] DIR OUT
//! ```
//!
//! Every file in DIR is taken for a PNG image, and what comes out is put into OUT, under the same name. N pictures are
//! decoded at once, each in SECONDS of CPU time at most. The exit status is 0 if all thumbnails were made, 1 if not
//! all could be, 2 if the arguments make no sense.
//!
//! A template makes a child for every picture affordable, and computes once what all need. A child is given the open
//! picture and sends back the thumbnail; it has no need to open a file.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use offspring::{Descriptor, Events, Limit, Limits, Octets, Pool, Template, preload, worker};
use png::{ColorType, Decoder, Encoder, Transformations};

/// How long the longer side of a thumbnail is at most.
const SIDE: u32 = 128;

/// What a child may use, in octets.
const MEMORY: u64 = 512 << 20;

// --- in the template ---

/// Samples are sRGB, and only amounts of light can be averaged.
struct Light {
    /// For each sample.
    amounts: Vec<u16>,
    /// For each amount.
    samples: Vec<u8>,
}

fn light() -> Result<Light, Infallible> {
    let amount = |sample: u16| {
        let sample = f64::from(sample) / 255.0;
        let amount = if sample <= 0.040_45 {
            sample / 12.92
        } else {
            ((sample + 0.055) / 1.055).powf(2.4)
        };
        (amount * 65535.0).round() as u16
    };
    let sample = |amount: u16| {
        let amount = f64::from(amount) / 65535.0;
        let sample = if amount <= 0.003_130_8 {
            amount * 12.92
        } else {
            1.055 * amount.powf(1.0 / 2.4) - 0.055
        };
        (sample * 255.0).round() as u8
    };
    Ok(Light {
        amounts: (0..=255).map(amount).collect(),
        samples: (0..=u16::MAX).map(sample).collect(),
    })
}

preload!(LIGHT() -> Light = light);

// --- in a child ---

/// With 8 bits a sample.
struct Picture {
    width: u32,
    height: u32,
    color: ColorType,
    octets: Vec<u8>,
}

/// The octets of the thumbnail, and an empty text; or nothing, and why.
fn thumbnail(
    picture: Descriptor<File>,
    name: String,
    fate: String,
    events: &Events<String>,
) -> [Vec<u8>; 2] {
    match make(picture.into_inner(), &name, &fate, events) {
        Ok(octets) => [octets, Vec::new()],
        Err(error) => [Vec::new(), error.to_string().into()],
    }
}

worker!(THUMBNAIL: fn(Descriptor<File>, String, String) -> [Vec<u8>; 2] = thumbnail, events = String);

fn make(
    file: File,
    name: &str,
    fate: &str,
    events: &Events<String>,
) -> Result<Vec<u8>, Box<dyn Error>> {
    let light = LIGHT.get().ok_or("this is no child of the template")?;
    let picture = decode(file, name, events)?;
    meet(fate)?;
    Ok(encode(&shrink(&picture, light))?)
}

/// What a hidden option wants of this picture: an end as by a fault in the decoder.
fn meet(fate: &str) -> io::Result<()> {
    match fate {
        "crash" => Ok(raise(Signal::SIGILL)?),
        "spin" => loop {
            std::hint::spin_loop();
        },
        _ => Ok(()),
    }
}

fn decode(file: File, name: &str, events: &Events<String>) -> Result<Picture, Box<dyn Error>> {
    // How much memory there is for it is known to the system. Here nobody has to guess.
    let limits = png::Limits { bytes: usize::MAX };
    let mut decoder = Decoder::new_with_limits(BufReader::new(file), limits);
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let (width, height) = reader.info().size();
    events.send(format!("{name} has {width} x {height} pixels"))?;
    let size = reader.output_buffer_size().ok_or("it is too large")?;
    let mut octets = vec![0; size];
    let frame = reader.next_frame(&mut octets)?;
    Ok(Picture {
        width,
        height,
        color: frame.color_type,
        octets,
    })
}

fn encode(picture: &Picture) -> Result<Vec<u8>, png::EncodingError> {
    let mut octets = Vec::new();
    let mut encoder = Encoder::new(&mut octets, picture.width, picture.height);
    encoder.set_color(picture.color);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&picture.octets)?;
    writer.finish()?;
    Ok(octets)
}

/// A picture that is small enough stays as it is.
fn shrink(picture: &Picture, light: &Light) -> Picture {
    let longest = picture.width.max(picture.height).max(SIDE);
    let scale = |side: u32| share(SIDE, longest, side).max(1) as u32;
    let (width, height) = (scale(picture.width), scale(picture.height));
    let mut octets = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let rows = part(y, height, picture.height);
            let columns = part(x, width, picture.width);
            average(picture, rows, columns, light, &mut octets);
        }
    }
    Picture {
        width,
        height,
        color: picture.color,
        octets,
    }
}

/// The pixels of a side from which this one of so many is made.
fn part(index: u32, count: u32, side: u32) -> Range<usize> {
    share(index, count, side)..share(index + 1, count, side)
}

fn share(index: u32, count: u32, side: u32) -> usize {
    (u64::from(index) * u64::from(side) / u64::from(count)) as usize
}

/// One pixel out of a box of them, in which the more opaque ones count for more.
fn average(
    picture: &Picture,
    rows: Range<usize>,
    columns: Range<usize>,
    light: &Light,
    octets: &mut Vec<u8>,
) {
    let samples = picture.color.samples();
    let has_alpha = matches!(picture.color, ColorType::GrayscaleAlpha | ColorType::Rgba);
    let colours = samples - usize::from(has_alpha);
    let count = (rows.len() * columns.len()) as u64;
    let (mut sums, mut opacity) = ([0; 3], 0);
    for row in rows {
        let row = &picture.octets[row * picture.width as usize * samples..];
        let row = &row[columns.start * samples..columns.end * samples];
        for pixel in row.chunks_exact(samples) {
            let alpha = if has_alpha { pixel[colours] } else { 255 };
            opacity += u64::from(alpha);
            for (sum, sample) in sums.iter_mut().zip(&pixel[..colours]) {
                *sum += u64::from(alpha) * u64::from(light.amounts[usize::from(*sample)]);
            }
        }
    }
    for sum in &sums[..colours] {
        // Of what is wholly transparent, the colour does not matter.
        let amount = (sum + opacity / 2).checked_div(opacity).unwrap_or(0);
        octets.push(light.samples[amount as usize]);
    }
    if has_alpha {
        octets.push(((opacity + count / 2) / count) as u8);
    }
}

// --- in the parent ---

struct Task {
    jobs: usize,
    cpu: Duration,
    from: PathBuf,
    to: PathBuf,
    /// What pictures are to do to their children, by name.
    fates: BTreeMap<String, &'static str>,
}

impl Task {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let (mut jobs, mut cpu) = (jobs, 10);
        let (mut fates, mut folders) = (BTreeMap::new(), Vec::new());
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("`{word}` wants a value"));
            match word.as_str() {
                "--jobs" => jobs = number(&value()?)?,
                "--cpu" => cpu = number(&value()?)?,
                "--crash" => drop(fates.insert(value()?, "crash")),
                "--spin" => drop(fates.insert(value()?, "spin")),
                _ if word.starts_with('-') => return Err(format!("there is no option `{word}`")),
                _ => folders.push(PathBuf::from(word)),
            }
        }
        let [from, to] = <[_; 2]>::try_from(folders).map_err(|_| "two folders are wanted")?;
        Ok(Self {
            jobs,
            cpu: Duration::from_secs(cpu as u64),
            from,
            to,
            fates,
        })
    }
}

fn number(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or(format!("not a number above 0: `{text}`"))
}

fn main() -> ExitCode {
    offspring::init();
    let task = match Task::parse(std::env::args().skip(1)) {
        Ok(task) => task,
        Err(text) => {
            eprintln!("thumbnails: {text}");
            eprintln!("usage: thumbnails [--jobs N] [--cpu SECONDS] DIR OUT");
            return ExitCode::from(2);
        }
    };
    match run(&task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("thumbnails: {error}");
            ExitCode::FAILURE
        }
    }
}

type Children = Pool<fn(Descriptor<File>, String, String) -> [Vec<u8>; 2], Octets, String>;

fn children(task: &Task) -> Result<Children, offspring::Error> {
    let template = Template::builder().preload(&LIGHT);
    let template = template.start()?;
    // It would be pointless to start children from a template that cannot load what they need.
    template.ready().wait()?;
    let limits = Limits::new().memory(MEMORY).cpu_time(task.cpu).core_size(0);
    let children = THUMBNAIL.template(&template).limits(limits);
    // What the decoder says before it dies would disturb the progress.
    let pool = children.capture_stderr(1000).pool();
    pool.max(task.jobs)
        // One picture each, so that its limits are for that, and what it breaks is not used again.
        .max_calls(1)
        .start(Duration::ZERO)
        // That a picture killed its child is no reason to wait with the next one.
        .backoff(Duration::ZERO, Duration::ZERO)
        .on_event(|text| eprintln!("{text}"))
        // What happens to children is in the errors of their calls.
        .on_error(|_| ())
        .spawn()
}

/// What became of a picture: the thumbnail, or why there is none.
type Outcome = (String, Result<Vec<u8>, String>);

/// Says whether all thumbnails were made.
fn run(task: &Task) -> Result<bool, Box<dyn Error>> {
    let names = pictures(&task.from)?;
    fs::create_dir_all(&task.to)?;
    if fs::canonicalize(&task.from)? == fs::canonicalize(&task.to)? {
        return Err("the thumbnails would replace the pictures".into());
    }
    let pool = children(task)?;
    let (sender, outcomes) = channel();
    let mut rest = names.iter();
    let mut failed = BTreeMap::new();
    // Each has a file open while it waits, so not all do that at once.
    for name in rest.by_ref().take(2 * task.jobs) {
        begin(&pool, task, name, sender.clone())?;
    }
    for done in 1..=names.len() {
        let (name, outcome) = outcomes.recv()?;
        if let Some(next) = rest.next() {
            begin(&pool, task, next, sender.clone())?;
        }
        let note = if outcome.is_ok() { "" } else { " failed" };
        match outcome {
            Ok(octets) => fs::write(task.to.join(&name), octets)?,
            Err(text) => drop(failed.insert(name.clone(), text)),
        }
        eprintln!("[{done}/{}] {name}{note}", names.len());
    }
    pool.join().wait()?;
    report(names.len() - failed.len(), &failed);
    Ok(failed.is_empty())
}

fn begin(
    pool: &Children,
    task: &Task,
    name: &String,
    sender: Sender<Outcome>,
) -> Result<(), Box<dyn Error>> {
    let picture = match File::open(task.from.join(name)) {
        Ok(picture) => picture,
        Err(error) => {
            let text = format!("it cannot be read: {error}");
            return Ok(sender.send((name.clone(), Err(text)))?);
        }
    };
    let fate = task.fates.get(name).copied().unwrap_or_default();
    let call = pool.call(picture, name, fate);
    let name = name.clone();
    call.on_done(move |answer| {
        let outcome = answer.map_err(|error| explain(&error)).and_then(refused);
        // After an error of the parent's nobody is interested.
        let _ = sender.send((name, outcome));
    });
    Ok(())
}

/// The names of the files in a folder.
fn pictures(folder: &Path) -> Result<Vec<String>, String> {
    let explain = |error: io::Error| format!("{}: {error}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(explain)? {
        let entry = entry.map_err(explain)?;
        if entry.path().is_file() {
            let name = entry.file_name().into_string();
            names.push(name.map_err(|name| format!("not a name in UTF-8: {name:?}"))?);
        }
    }
    names.sort();
    Ok(names)
}

/// What the child could not do is in the second part of its answer.
fn refused([octets, text]: [Vec<u8>; 2]) -> Result<Vec<u8>, String> {
    if text.is_empty() {
        return Ok(octets);
    }
    Err(format!("not an image: {}", String::from_utf8_lossy(&text)))
}

fn explain(error: &offspring::Error) -> String {
    let Some(crash) = error.crash() else {
        return error.to_string();
    };
    let limit = match crash.over_limit() {
        Some(Limit::Memory) => ", probably for want of memory",
        Some(Limit::CpuTime) => ", as it took too much CPU time",
        _ => "",
    };
    format!("its child {}{limit}", crash.status())
}

fn report(made: usize, failed: &BTreeMap<String, String>) {
    println!("{made} made, {} failed", failed.len());
    for (name, text) in failed {
        println!("{name}: {text}");
    }
}
