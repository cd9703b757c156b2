//! The median of what was measured, and putting it into the documentation. Also used by `benches/peers`.

use std::path::Path;

/// Replaces what stands between `<!-- NAME -->` and `<!-- /NAME -->` in a file.
///
/// # Panics
///
/// If the file or the marks are not there.
pub fn replace(file: &Path, name: &str, text: &str) {
    let page = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (Some(start), Some(end)) = (page.find(&open), page.find(&close)) else {
        panic!("{file:?} has no place for {name}");
    };
    let page = format!(
        "{}{open}\n{}\n\n{}",
        &page[..start],
        text.trim(),
        &page[end..]
    );
    std::fs::write(file, page).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    println!("written: {name} in {}", file.display());
}

/// The median: of an even number of values, the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0
}

/// The machine in a few words, without its name.
pub fn machine() -> String {
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    format!(
        "{cpus} virtual CPUs ({}), Linux {kernel}",
        model.unwrap_or("of no name").trim()
    )
}
