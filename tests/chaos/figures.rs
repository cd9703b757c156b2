//! Counters by name.

use std::collections::BTreeMap;
use std::fmt;

/// Sums by name; of a name that begins with "slowest" or "largest", the maximum.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(BTreeMap<String, u64>);

impl Figures {
    pub(crate) fn add(&mut self, name: &str, value: u64) {
        let own = self.0.entry(name.to_owned()).or_default();
        if name.starts_with("slowest") || name.starts_with("largest") {
            *own = (*own).max(value);
        } else {
            *own += value;
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (name, value) in &other.0 {
            self.add(name, *value);
        }
    }

    pub(crate) fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Reads what [`line`](Self::line) wrote.
    pub(crate) fn parse(line: &str) -> Self {
        let mut own = Self::default();
        for part in line.split('\t') {
            if let Some((name, value)) = part.split_once('=') {
                own.add(name, value.parse().unwrap());
            }
        }
        own
    }

    pub(crate) fn line(&self) -> String {
        let parts = self.0.iter().map(|(name, value)| format!("{name}={value}"));
        parts.collect::<Vec<_>>().join("\t")
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            writeln!(f, "| {name} | {value} |")?;
        }
        Ok(())
    }
}
