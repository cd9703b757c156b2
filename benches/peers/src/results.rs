//! The measured values, their medians and ratios.

use std::collections::BTreeMap;

use crate::page::median;
use crate::plan::{COLUMNS, Column, Measure, ROWS};

/// All values by row, workload and metric.
#[derive(Default)]
pub struct Results {
    values: BTreeMap<(String, String, String), Vec<f64>>,
    pub lines: Vec<String>,
}

/// The median of a row, and its cost in relation to the base: below 1 is better than the base.
pub struct Found {
    pub row: &'static str,
    pub median: f64,
    pub least: f64,
    pub most: f64,
    pub ratio: Option<f64>,
}

impl Results {
    /// Takes a line `workload,metric,value` of a peer, and ignores other lines.
    pub fn take(&mut self, round: usize, row: &str, line: &str) {
        let mut fields = line.split(',');
        let (Some(workload), Some(metric), Some(value)) =
            (fields.next(), fields.next(), fields.next())
        else {
            return;
        };
        let Ok(number) = value.parse() else { return };
        self.lines.push(format!("{round},{row},{line}"));
        let key = (row.to_owned(), workload.to_owned(), metric.to_owned());
        self.values.entry(key).or_default().push(number);
    }

    fn of(&self, row: &str, measure: &Measure) -> Option<&[f64]> {
        let key = (
            row.to_owned(),
            measure.workload.to_owned(),
            measure.metric.to_owned(),
        );
        self.values.get(&key).map(Vec::as_slice)
    }

    pub fn find(&self, row: &'static str, measure: &Measure) -> Option<Found> {
        self.beside(row, measure, measure.base)
    }

    pub fn beside(&self, row: &'static str, measure: &Measure, base: &str) -> Option<Found> {
        let values = self.of(row, measure)?;
        let own = median(values);
        let base = self.of(base, measure).map(median);
        let ratio = base.map(|base| {
            if measure.more_is_better {
                base / own
            } else {
                own / base
            }
        });
        let (least, most) = values
            .iter()
            .fold((f64::MAX, 0f64), |(least, most), value| {
                (least.min(*value), most.max(*value))
            });
        Some(Found {
            row,
            median: own,
            least,
            most,
            ratio,
        })
    }

    /// All rows with this measure, the best first.
    pub fn ranking(&self, measure: &Measure) -> Vec<Found> {
        let mut found: Vec<_> = ROWS
            .iter()
            .filter_map(|row| self.find(row.name, measure))
            .collect();
        found.sort_by(|a, b| a.median.total_cmp(&b.median));
        if measure.more_is_better {
            found.reverse();
        }
        found
    }

    pub fn in_column(&self, column: &Column, measure: &Measure) -> Option<Found> {
        let mut found = column.rows.iter().filter_map(|row| self.find(row, measure));
        if column.first {
            return found.next();
        }
        let better = |a: &Found, b: &Found| a.median.total_cmp(&b.median);
        if measure.more_is_better {
            found.max_by(better)
        } else {
            found.min_by(better)
        }
    }

    /// The columns with at least one value.
    pub fn columns(&self) -> impl Iterator<Item = &'static Column> {
        let any = |column: &&Column| {
            self.values
                .keys()
                .any(|(row, ..)| column.rows.contains(&row.as_str()))
        };
        COLUMNS.iter().filter(any)
    }
}
