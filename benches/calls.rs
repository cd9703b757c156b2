//! Every row with criterion: `cargo bench -p benches --bench calls -- [FILTER]`.
//!
//! For following one row over time. For one row beside another take `ratios`.

#[allow(
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "shared with the other benches"
)]
mod rows;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    offspring::init();
    rows::bare::serve_if_asked();
    rows::bare::fork_if_asked();
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for group in rows::groups() {
        let mut measured = criterion.benchmark_group(group.name);
        for mut row in group.rows {
            let name = row.name.clone();
            measured.bench_function(name, |bencher| bencher.iter_custom(|times| row.run(times)));
        }
        measured.finish();
    }
    criterion.final_summary();
}
