//! The run: the systems one after the other, again and again, so that what the machine does meanwhile hits all of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::PossibleValue;

use super::comparison::{self, Measured, Times};
use super::machine::{Machine, disk_limits};
use super::output::{self, Output, chosen, name};
use super::reading::{Reading, shown};
use super::results::{Measurement, Results};
use super::system::{Place, System};
use super::{alone, table};
use crate::project::Project;

/// Each size of a write is measured for so long, every round.
const DISK: Duration = Duration::from_secs(2);

/// What to measure.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Seconds that each load is measured for
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Seconds before these that are not measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(..=3600))]
    warm_up: u64,
    /// How often each system is measured; what is told is the median
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Only these cases
    #[arg(long, value_enum, value_delimiter = ',')]
    cases: Vec<Case>,
    /// Only these systems
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<System>,
    /// Messages of 100 bytes that nobody fetches, in the case backlog
    #[arg(long, value_name = "MESSAGES", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    backlog: u64,
    /// Messages of 100 bytes that come one by one and that nobody fetches, in the case singles
    #[arg(long, value_name = "MESSAGES", default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    singles: u64,
    /// Queues that are declared, in the case queues
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    queues: u32,
    /// Gigabytes of messages that each broker holds, in the case restart
    #[arg(long, value_name = "GIGABYTES", default_value_t = 10.0, value_parser = gigabytes)]
    restart: f64,
    #[command(flatten)]
    output: Output,
}

/// A case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    /// Every system is measured by it.
    Compared(comparison::Case),
    /// Only FerryMQ is.
    Alone(alone::Case),
}

impl ValueEnum for Case {
    fn value_variants<'a>() -> &'a [Self] {
        use alone::Case::{Backlog, Failover, Queues, Restart, Rolling, Singles};
        use comparison::Case::{Idle, Kilobyte, Large, Small, Steady, Ten};
        &[
            Self::Compared(Idle),
            Self::Compared(Small),
            Self::Compared(Kilobyte),
            Self::Compared(Ten),
            Self::Compared(Steady),
            Self::Compared(Large),
            Self::Alone(Backlog),
            Self::Alone(Singles),
            Self::Alone(Queues),
            Self::Alone(Restart),
            Self::Alone(Failover),
            Self::Alone(Rolling),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Compared(case) => case.to_possible_value(),
            Self::Alone(case) => case.to_possible_value(),
        }
    }
}

fn gigabytes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(gigabytes) if (0.000_1..=100_000.0).contains(&gigabytes) => Ok(gigabytes),
        _ => Err("it must be a number between 0.0001 and 100000".to_owned()),
    }
}

/// # Errors
///
/// Where a system cannot be had, something could not be measured, or what was measured cannot be written.
pub(super) fn run(project: &Project, options: &Options) -> anyhow::Result<()> {
    let systems: Vec<_> = chosen(&options.only);
    let cases = chosen::<Case>(&options.cases);
    let machine = Machine::look()?;
    let place = Place::prepare(project, &systems, options.output.binary.clone(), machine.memory_bytes)?;
    let results = Results {
        machine,
        disk: Vec::new(),
        versions: BTreeMap::new(),
        seconds: options.seconds,
        rounds: options.rounds,
        measurements: Vec::new(),
    };
    let file = options.output.json(place.folder.join("results.json"));
    let mut run = Run { place: &place, options, results, file };
    for round in 1..=options.rounds {
        run.results.disk.push(disk_limits(&place.folder, DISK)?);
        for system in &systems {
            run.compare(*system, round, &cases)?;
        }
    }
    if systems.contains(&System::Ferrymq) {
        run.alone(&cases)?;
    }
    let text = table::markdown(&run.results);
    options.output.tell("peers", &text, &run.file, run.results.failures().len())
}

/// A run, as far as it got.
struct Run<'a> {
    place: &'a Place<'a>,
    options: &'a Options,
    results: Results,
    file: PathBuf,
}

impl Run<'_> {
    /// Starts a system, and measures it by each case that all are measured by.
    fn compare(&mut self, system: System, round: u32, cases: &[Case]) -> anyhow::Result<()> {
        let compared = |case: &Case| match case {
            Case::Compared(case) => Some(*case),
            Case::Alone(_) => None,
        };
        let cases: Vec<_> = cases.iter().filter_map(compared).collect();
        if cases.is_empty() {
            return Ok(());
        }
        println!("round {round} of {}: {}", self.options.rounds, system.name());
        let place = self.place;
        let times = Times { seconds: self.options.seconds, warm_up: self.options.warm_up };
        let started = place.start(system).and_then(|running| Ok((running.version()?, running)));
        let running = match started {
            Ok((version, running)) => {
                self.results.versions.insert(system, version);
                running
            }
            Err(error) => return self.record(system, "start", true, round, Err(error)),
        };
        for case in cases {
            let disk = self.results.disk.last().map_or(&[][..], Vec::as_slice);
            let measured = comparison::measure(&running, case, times, disk);
            self.record(system, &name(&case), true, round, measured)?;
        }
        Ok(())
    }

    /// Measures FerryMQ by each case that only it is measured by, with new brokers each time.
    fn alone(&mut self, cases: &[Case]) -> anyhow::Result<()> {
        let Options { backlog, singles, queues, seconds, warm_up, .. } = *self.options;
        let journal_bytes = (self.options.restart * 1e9) as u64;
        let sizes = alone::Sizes { backlog, singles, queues, journal_bytes, seconds, warm_up };
        for case in cases {
            let Case::Alone(case) = case else { continue };
            println!("FerryMQ alone: {}", name(case));
            let readings = alone::measure(self.place, *case, sizes);
            let measured = readings.map(|readings| Measured { readings, outcome: None });
            self.record(System::Ferrymq, &name(case), false, 1, measured)?;
        }
        Ok(())
    }

    /// Keeps what was measured, also where this command is ended before it is done.
    fn record(
        &mut self,
        system: System,
        case: &str,
        compared: bool,
        round: u32,
        measured: anyhow::Result<Measured>,
    ) -> anyhow::Result<()> {
        let case = case.to_owned();
        let (readings, outcome, failure) = match measured {
            Ok(Measured { readings, outcome }) => (readings, outcome, None),
            Err(error) => (Vec::new(), None, Some(format!("{error:#}"))),
        };
        for Reading { what, unit, value, .. } in &readings {
            println!("  {case}: {what}: {} {unit}", shown(*value));
        }
        if let Some(failure) = &failure {
            println!("  {case}: {failure}");
        }
        self.results.measurements.push(Measurement { system, case, compared, round, readings, outcome, failure });
        output::keep(&self.file, &self.results)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_keeps_its_order_and_nothing_means_all() {
        assert_eq!(chosen(&[System::Nats, System::Ferrymq]), [System::Ferrymq, System::Nats]);
        assert_eq!(chosen::<Case>(&[]).len(), 12);
    }

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Case::value_variants().iter().map(name).collect();
        assert!(names.contains("kilobyte") && names.contains("rolling"), "{names:?}");
        assert_eq!(names.len(), Case::value_variants().len());
    }
}
