//! The result: as JSON for programs, as a table for people.

use std::{fmt, fs, io::Write, path::Path};

use serde::Serialize;

use crate::{
    error::BenchError,
    measures::{Counts, Quantiles},
};

/// Points of a distribution, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Milliseconds {
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl From<Quantiles> for Milliseconds {
    fn from(quantiles: Quantiles) -> Self {
        let milliseconds = |microseconds: u64| microseconds as f64 / 1000.0;
        Self {
            p50: milliseconds(quantiles.p50),
            p90: milliseconds(quantiles.p90),
            p99: milliseconds(quantiles.p99),
            p999: milliseconds(quantiles.p999),
            max: milliseconds(quantiles.max),
        }
    }
}

/// Of a load of messages. Counts include what was confirmed and received after publishing had ended; rates do not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct LoadReport {
    pub(crate) uri: Vec<String>,
    pub(crate) seconds: f64,
    #[serde(flatten)]
    pub(crate) counts: Counts,
    pub(crate) published_per_second: f64,
    pub(crate) confirmed_per_second: f64,
    pub(crate) received_per_second: f64,
    pub(crate) confirm_ms: Option<Milliseconds>,
    pub(crate) end_to_end_ms: Option<Milliseconds>,
    pub(crate) longest_pause_ms: f64,
    pub(crate) blocked_seconds: f64,
    pub(crate) size: u32,
    pub(crate) publishers: u32,
    pub(crate) consumers: u32,
    pub(crate) queues: u32,
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:22}{:>14}{:>14}", format!("{:.1} s", self.seconds), "messages", "a second")?;
        let rates = [
            ("published", self.counts.published, self.published_per_second),
            ("confirmed", self.counts.confirmed, self.confirmed_per_second),
            ("received", self.counts.received, self.received_per_second),
        ];
        for (name, count, rate) in rates {
            writeln!(f, "{name:22}{:>14}{:>14}", grouped(count), grouped(rate.round() as u64))?;
        }
        let rest = [
            ("redelivered", self.counts.redelivered),
            ("refused (nack)", self.counts.nacked),
            ("confirms lost", self.counts.lost_confirms),
            ("due, not published", self.counts.behind),
            ("reconnects", self.counts.reconnects),
            ("errors", self.counts.errors),
        ];
        for (name, count) in rest.into_iter().filter(|(_, count)| *count > 0) {
            writeln!(f, "{name:22}{:>14}", grouped(count))?;
        }
        if self.confirm_ms.is_some() || self.end_to_end_ms.is_some() {
            writeln!(f, "\n{}", head("latency, ms"))?;
        }
        for (name, latency) in [("confirm", &self.confirm_ms), ("end to end", &self.end_to_end_ms)] {
            if let Some(latency) = latency {
                writeln!(f, "{}", row(name, latency))?;
            }
        }
        if self.confirm_ms.is_some() {
            writeln!(f, "\nlongest pause of a publisher: {:.1} ms", self.longest_pause_ms)?;
        }
        if self.blocked_seconds > 0.0 {
            writeln!(f, "publishers were blocked by the broker for {:.1} s", self.blocked_seconds)?;
        }
        Ok(())
    }
}

/// Of declaring queues.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct QueuesReport {
    pub(crate) uri: Vec<String>,
    pub(crate) seconds: f64,
    pub(crate) declared: u64,
    pub(crate) declared_per_second: f64,
    pub(crate) declare_ms: Option<Milliseconds>,
    pub(crate) connections: u32,
}

impl fmt::Display for QueuesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (declared, rate) = (grouped(self.declared), grouped(self.declared_per_second.round() as u64));
        writeln!(f, "{declared} queues in {:.1} s, {rate} a second", self.seconds)?;
        if let Some(latency) = &self.declare_ms {
            writeln!(f, "\n{}\n{}", head("latency, ms"), row("declare", latency))?;
        }
        Ok(())
    }
}

fn head(name: &str) -> String {
    format!("{name:22}{:>10}{:>10}{:>10}{:>10}{:>10}", "p50", "p90", "p99", "p99.9", "max")
}

fn row(name: &str, latency: &Milliseconds) -> String {
    let Milliseconds { p50, p90, p99, p999, max } = latency;
    format!("{name:22}{p50:>10.2}{p90:>10.2}{p99:>10.2}{p999:>10.2}{max:>10.2}")
}

pub(crate) fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// With a comma after each three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The counts at one moment, to tell what a second brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    second: u64,
    counts: Counts,
    at: u64,
}

impl Progress {
    /// From this time on, in nanoseconds.
    pub(crate) fn since(at: u64) -> Self {
        Self { second: 0, counts: Counts::default(), at }
    }

    /// All counts are 0 again, at this time.
    pub(crate) fn restart(&mut self, at: u64) {
        (self.counts, self.at) = (Counts::default(), at);
    }

    /// One line on what happened since the last one. The percentiles are microseconds.
    pub(crate) fn line(&mut self, now: u64, counts: Counts, p99: [Option<u64>; 2]) -> String {
        let seconds = (now.saturating_sub(self.at) as f64 / 1e9).max(1e-9);
        let rate = |now: u64, before: u64| grouped((now.saturating_sub(before) as f64 / seconds).round() as u64);
        let before = self.counts;
        self.second += 1;
        let second = self.second;
        let latency = p99.map(|p99| match p99 {
            Some(microseconds) => format!("{:.1} ms", microseconds as f64 / 1000.0),
            None => "-".to_owned(),
        });
        let line = format!(
            "{second:>4} s  published {:>9}/s  confirmed {:>9}/s  received {:>9}/s  p99 confirm {:>10}  end to end {:>10}",
            rate(counts.published, before.published),
            rate(counts.confirmed, before.confirmed),
            rate(counts.received, before.received),
            latency[0],
            latency[1],
        );
        (self.counts, self.at) = (counts, now);
        line
    }
}

/// Where results go.
pub(crate) struct Output<'a> {
    /// What people read; none of it where they asked for quiet but the table at the end.
    pub(crate) people: &'a mut dyn Write,
    /// The standard output, for JSON.
    pub(crate) programs: Option<&'a mut dyn Write>,
    pub(crate) quiet: bool,
}

impl Output<'_> {
    /// Prints a line of progress.
    ///
    /// # Errors
    ///
    /// [`BenchError::Print`]
    pub(crate) fn progress(&mut self, line: &str) -> Result<(), BenchError> {
        if self.quiet {
            return Ok(());
        }
        writeln!(self.people, "{line}").map_err(BenchError::Print)
    }

    /// Prints the table, and writes the JSON to where it is wanted.
    ///
    /// # Errors
    ///
    /// [`BenchError::Print`] and [`BenchError::Write`]
    pub(crate) fn result(
        &mut self,
        report: &(impl fmt::Display + Serialize),
        file: Option<&Path>,
    ) -> Result<(), BenchError> {
        write!(self.people, "{report}").map_err(BenchError::Print)?;
        let Some(file) = file else { return Ok(()) };
        let mut json = serde_json::to_string(report).map_err(|error| BenchError::Print(error.into()))?;
        json.push('\n');
        match &mut self.programs {
            Some(programs) => programs.write_all(json.as_bytes()).map_err(BenchError::Print),
            None => fs::write(file, json).map_err(|source| BenchError::Write { path: file.to_owned(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_line_tells_what_one_second_brought() {
        let mut progress = Progress::since(1_000_000_000);
        let counts = Counts { published: 5000, confirmed: 4000, ..Counts::default() };
        progress.line(2_000_000_000, counts, [None, None]);
        let counts = Counts { published: 6000, confirmed: 6000, ..Counts::default() };
        let line = progress.line(4_000_000_000, counts, [Some(1250), None]);
        for part in ["2 s", "published       500/s", "confirmed     1,000/s", "1.2 ms"] {
            assert!(line.contains(part), "{line}");
        }
    }
}
