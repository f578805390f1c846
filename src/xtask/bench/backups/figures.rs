//! All that one run gave, and how it is printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::store::Kind;
use crate::bench::machine::{DiskLimit, Machine};
use crate::bench::reading::{Reading, median, shown};
use crate::bench::table;

/// One measurement.
#[derive(Debug, Serialize)]
pub(super) struct Measurement {
    /// The case.
    pub(super) case: String,
    /// Where it was archived.
    pub(super) store: Kind,
    /// Which time it was, from 1.
    pub(super) round: u32,
    /// What is told of it.
    pub(super) readings: Vec<Reading>,
    /// Why there is nothing to tell.
    pub(super) failure: Option<String>,
}

/// All of a run.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    /// What was measured on.
    pub(super) machine: Machine,
    /// The disk's own limits, the smallest writes first.
    pub(super) disk: Vec<DiskLimit>,
    /// What ran, by its own words.
    pub(super) version: String,
    /// How much of everything, as a sentence.
    pub(super) sizes: String,
    /// The stores, in their order.
    pub(super) stores: Vec<Kind>,
    /// Each measurement, in the order in which it was made.
    pub(super) measurements: Vec<Measurement>,
}

/// A line of the table: a case, what was measured of it, its unit, and what each store gave.
type Line<'a> = (&'a str, &'a str, &'static str, BTreeMap<Kind, Vec<f64>>);

impl Figures {
    /// What could not be measured, a sentence each.
    pub(super) fn failures(&self) -> Vec<String> {
        let told = |measurement: &Measurement| {
            let Measurement { case, store, round, failure, .. } = measurement;
            Some(format!("{case}, {}, round {round}: {}", store.name(), failure.as_ref()?))
        };
        self.measurements.iter().filter_map(told).collect()
    }

    /// The tables of the run, and what they were measured on.
    pub(super) fn markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "Measured on {}: {}.\n", self.machine.date, self.version)?;
        writeln!(text, "{} {}\n", table::machine(&self.machine), self.sizes)?;
        table::disk(text, &self.disk)?;
        write!(text, "| case | |")?;
        self.stores.iter().try_for_each(|store| write!(text, " {} |", store.name()))?;
        write!(text, "\n|---|---|")?;
        self.stores.iter().try_for_each(|_| write!(text, "---:|"))?;
        writeln!(text)?;
        for (case, what, unit, values) in self.lines() {
            write!(text, "| {case} | {what}, {unit} |")?;
            for store in &self.stores {
                let value = values.get(store).and_then(|values| median(values));
                write!(text, " {} |", value.map_or_else(|| "–".to_owned(), shown))?;
            }
            writeln!(text)?;
        }
        writeln!(text)?;
        table::list(text, "Not measured", &self.failures())
    }

    fn lines(&self) -> Vec<Line<'_>> {
        let mut lines: Vec<Line<'_>> = Vec::new();
        for Measurement { case, store, readings, .. } in &self.measurements {
            for Reading { what, unit, value, .. } in readings {
                let key = (&**case, &**what, *unit);
                let at = lines.iter().position(|(case, what, unit, _)| (*case, *what, *unit) == key);
                let at = at.unwrap_or_else(|| {
                    lines.push((key.0, key.1, key.2, BTreeMap::new()));
                    lines.len() - 1
                });
                if let Some((.., values)) = lines.get_mut(at) {
                    values.entry(*store).or_default().push(*value);
                }
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(store: Kind, round: u32, value: f64) -> Measurement {
        let readings = vec![Reading::less("not archived yet, p99", "s", value)];
        Measurement { case: "lag".to_owned(), store, round, readings, failure: None }
    }

    #[test]
    fn each_store_has_a_column_with_its_medians() {
        let machine = Machine::fixture();
        let failed =
            Measurement { failure: Some("it ended".to_owned()), readings: Vec::new(), ..measurement(Kind::S3, 2, 0.0) };
        let figures = Figures {
            machine,
            disk: Vec::new(),
            version: "FerryMQ 1".to_owned(),
            sizes: "Each once.".to_owned(),
            stores: vec![Kind::Directory, Kind::S3],
            measurements: vec![
                measurement(Kind::Directory, 1, 1.0),
                measurement(Kind::S3, 1, 4.0),
                measurement(Kind::Directory, 2, 2.0),
                failed,
            ],
        };
        let text = figures.markdown();
        assert!(text.contains("| case | | directory | S3 |\n|---|---|---:|---:|\n"), "{text}");
        assert!(text.contains("| lag | not archived yet, p99, s | 1.50 | 4.00 |"), "{text}");
        assert!(text.contains("Not measured:\n\n- lag, S3, round 2: it ended\n"), "{text}");
    }
}
