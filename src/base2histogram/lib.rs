//! Histograms as the Raft library keeps them, and nothing else of the crate of this name: that one fills tables of 27 MB in
//! each process, of which the library uses a few hundred bytes. Cargo takes this one in its place (`[patch]`).
//!
//! Buckets are a quarter of a power of two wide, so a percentile is at most a fifth below the value.

use std::fmt;
use std::marker::PhantomData;

/// Buckets in each power of two.
const PARTS: u32 = 4;

/// How often values came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    /// As many as the highest value needs.
    buckets: Vec<u64>,
    of: PhantomData<T>,
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Histogram<T> {
    /// Nothing came yet.
    #[must_use]
    pub fn new() -> Self {
        Self { buckets: Vec::new(), of: PhantomData }
    }

    /// A value came.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// A value came so many times.
    pub fn record_n(&mut self, value: u64, times: u64) {
        let bucket = bucket_of(value);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count = count.saturating_add(times);
        }
    }

    /// How many values came.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The least value of the bucket below which, and in which, this share of all values lies; 0 where none came.
    #[must_use]
    pub fn percentile(&self, share: f64) -> u64 {
        let wanted = (self.total() as f64 * share).ceil().max(1.0);
        let mut seen = 0.0;
        let reached = self.buckets.iter().position(|count| {
            seen += *count as f64;
            seen >= wanted
        });
        reached.map_or(0, least_of)
    }

    /// What is mostly asked for.
    #[must_use]
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.total(),
            p0_1: self.percentile(0.001),
            p1: self.percentile(0.01),
            p5: self.percentile(0.05),
            p10: self.percentile(0.1),
            p50: self.percentile(0.5),
            p90: self.percentile(0.9),
            p99: self.percentile(0.99),
            p99_9: self.percentile(0.999),
        }
    }
}

/// Small values have a bucket each.
fn bucket_of(value: u64) -> usize {
    let bucket = match value.checked_ilog2() {
        None => 0,
        Some(power) if power < 2 => value as u32,
        // The two bits below the highest one tell which part.
        Some(power) => power * PARTS - PARTS + ((value >> (power - 2)) & 3) as u32,
    };
    bucket as usize
}

fn least_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let parts = u64::from(PARTS);
    if bucket < parts { bucket } else { (parts + bucket % parts) << (bucket / parts - 1) }
}

/// Values below which this many of a thousand lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is what its name says")]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, p50, p90, p99, p99_9, .. } = self;
        write!(f, "{samples} samples, p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p99_9}")
    }
}

/// Several histograms, one to a line.
#[derive(Debug, Clone, Default)]
pub struct AsciiChart {
    lines: Vec<String>,
}

impl AsciiChart {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    #[must_use]
    pub fn add<T>(mut self, name: &str, histogram: Histogram<T>) -> Self {
        self.lines.push(format!("{name}: {}", histogram.percentile_stats()));
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_begins_where_the_last_one_ends() {
        let mut last = None;
        for value in (0..5000).chain([1 << 40, u64::MAX]) {
            let bucket = bucket_of(value);
            let least = least_of(bucket);
            assert!(least <= value && value - least <= least / 4, "{value} in the bucket of {least}");
            assert_eq!(bucket_of(least), bucket);
            assert!(last.is_none_or(|last| last <= bucket));
            last = Some(bucket);
        }
        assert_eq!(bucket_of(u64::MAX), 251);
    }

    #[test]
    fn percentiles_are_those_of_what_came() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile_stats(), PercentileStats::default());
        (1..=100).for_each(|value| histogram.record(value));
        let stats = histogram.percentile_stats();
        assert_eq!((stats.samples, stats.p1, stats.p50, stats.p99), (100, 1, 48, 96));
    }
}
