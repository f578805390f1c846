//! All that one run gave.

use std::collections::BTreeMap;

use serde::Serialize;

use super::load::Outcome;
use super::machine::{DiskLimit, Machine};
use super::reading::{Better, Reading, median};
use super::system::System;

/// One measurement.
#[derive(Debug, Serialize)]
pub(super) struct Measurement {
    /// The system.
    pub(super) system: System,
    /// The case.
    pub(super) case: String,
    /// Whether every system is measured by it.
    pub(super) compared: bool,
    /// Which time it was, from 1.
    pub(super) round: u32,
    /// What is told of it.
    pub(super) readings: Vec<Reading>,
    /// All that the generator measured, where that is kept.
    pub(super) outcome: Option<Outcome>,
    /// Why there is nothing to tell.
    pub(super) failure: Option<String>,
}

/// All of a run.
#[derive(Debug, Serialize)]
pub(super) struct Results {
    /// What was measured on.
    pub(super) machine: Machine,
    /// The disk's own limits: a list for each round.
    pub(super) disk: Vec<Vec<DiskLimit>>,
    /// What ran, by its own words.
    pub(super) versions: BTreeMap<System, String>,
    /// Seconds that each load was measured for.
    pub(super) seconds: u64,
    /// How often each system was measured.
    pub(super) rounds: u32,
    /// Each measurement, in the order in which it was made.
    pub(super) measurements: Vec<Measurement>,
}

/// A line of a table: what was measured of a case, and each system's median.
#[derive(Debug)]
pub(super) struct Line {
    /// The case.
    pub(super) case: String,
    /// Whether every system is measured by it.
    pub(super) compared: bool,
    /// What was measured.
    pub(super) what: String,
    /// Its unit.
    pub(super) unit: &'static str,
    /// Which way is better.
    pub(super) better: Better,
    /// The median of the rounds.
    pub(super) medians: BTreeMap<System, f64>,
}

impl Results {
    /// The lines of a table, in the order in which they were measured first.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<(Line, BTreeMap<System, Vec<f64>>)> = Vec::new();
        for measurement in &self.measurements {
            for Reading { what, unit, better, value } in &measurement.readings {
                let same = |(line, _): &&mut (Line, _)| {
                    line.case == measurement.case && line.what == *what && line.unit == *unit
                };
                let values = match lines.iter_mut().find(same) {
                    Some((_, values)) => values,
                    None => {
                        let line = Line {
                            case: measurement.case.clone(),
                            compared: measurement.compared,
                            what: what.clone(),
                            unit,
                            better: *better,
                            medians: BTreeMap::new(),
                        };
                        lines.push((line, BTreeMap::new()));
                        let Some((_, values)) = lines.last_mut() else { continue };
                        values
                    }
                };
                values.entry(measurement.system).or_default().push(*value);
            }
        }
        let medians = |values: BTreeMap<System, Vec<f64>>| {
            values.into_iter().filter_map(|(system, values)| Some((system, median(&values)?))).collect()
        };
        lines.into_iter().map(|(line, values)| Line { medians: medians(values), ..line }).collect()
    }

    /// The medians of the disk's limits, the smallest writes first.
    pub(super) fn disk_limits(&self) -> Vec<DiskLimit> {
        let first = self.disk.first().map_or(&[][..], Vec::as_slice);
        let limit = |limit: &DiskLimit| {
            let same = self.disk.iter().flatten().filter(|other| other.write_bytes == limit.write_bytes);
            let rates: Vec<_> = same.map(|other| other.writes_per_second).collect();
            Some(DiskLimit { writes_per_second: median(&rates)?, ..*limit })
        };
        first.iter().filter_map(limit).collect()
    }

    /// What could not be measured, a sentence each.
    pub(super) fn failures(&self) -> Vec<String> {
        let told = |measurement: &Measurement| {
            let why = measurement.failure.as_ref()?;
            Some(format!("{}, {}, round {}: {why}", measurement.case, measurement.system.name(), measurement.round))
        };
        self.measurements.iter().filter_map(told).collect()
    }

    /// What went wrong under loads that came through all the same, a sentence each.
    pub(super) fn troubles(&self) -> Vec<String> {
        let told = |measurement: &Measurement| {
            let outcome = measurement.outcome.as_ref()?;
            let counts = [
                (outcome.errors, "errors"),
                (outcome.nacked, "publishes refused"),
                (outcome.reconnects, "connections opened again"),
                (outcome.redelivered, "messages delivered again"),
            ];
            let counts: Vec<_> = counts.iter().filter(|(count, _)| *count > 0).collect();
            let counts: Vec<_> = counts.iter().map(|(count, what)| format!("{count} {what}")).collect();
            let name = measurement.system.name();
            (!counts.is_empty())
                .then(|| format!("{}, {name}, round {}: {}", measurement.case, measurement.round, counts.join(", ")))
        };
        self.measurements.iter().filter_map(told).collect()
    }
}
