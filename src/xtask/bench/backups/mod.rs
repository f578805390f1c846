//! `cargo xtask bench backups`: what archiving costs clients, how late it is, and how fast backups and restores are.
//!
//! ```text
//!   mod --start--> store (a directory, versitygw) <--archive-- Brokers <--load-- ferrymq bench
//!    |  --measure--> lag | clients | contents
//!    v
//!   figures --> document
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `store.rs` | where brokers archive |
//! | `lag.rs` | how long what was confirmed waits to be archived |
//! | `clients.rs` | what clients get with archiving, beside what they get without |
//! | `contents.rs` | queues with much in them: a backup while clients go on, and restores |
//! | `memory.rs` | the most memory that brokers take |
//! | `figures.rs` | all of a run, and how it is printed |

mod clients;
mod contents;
mod figures;
mod lag;
mod memory;
mod store;

use std::path::PathBuf;
use std::time::Duration;

use self::contents::Contents;
use self::figures::{Figures, Measurement};
use self::store::{Kind, Store};
use super::brokers::{Brokers, Plan};
use super::machine::{Machine, disk_limits};
use super::output::{self, Output, chosen, name};
use super::reading::{Reading, shown};
use super::system::{Place, System};
use crate::cluster;
use crate::project::Project;

/// Each size of a write is measured for so long.
const DISK: Duration = Duration::from_secs(2);
/// Bytes of a small message, and of a large one.
const SMALL: u32 = 100;
const LARGE: u32 = 10_000;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Little of everything, which tells nothing but that it works
    #[arg(long)]
    quick: bool,
    /// Seconds that a load is measured for, beside that of the case lag
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Seconds that the load of the case lag is measured for
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    lag_seconds: u64,
    /// Seconds before these that are not measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(2..=3600))]
    warm_up: u64,
    /// How often the case clients is measured; what is told is the median
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Messages of 100 bytes in one queue, in the case small
    #[arg(long, value_name = "MESSAGES", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    small: u64,
    /// Messages of 10,000 bytes in ten queues, in the case large
    #[arg(long, value_name = "MESSAGES", default_value_t = 400_000, value_parser = clap::value_parser!(u64).range(1..))]
    large: u64,
    /// Only these cases
    #[arg(long, value_enum, value_delimiter = ',')]
    cases: Vec<Case>,
    /// The directory that stores are in: in memory, as their disks are not those of the brokers
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    store_directory: PathBuf,
    /// Only these stores
    #[arg(long, value_enum, value_delimiter = ',')]
    stores: Vec<Kind>,
    #[command(flatten)]
    output: Output,
}

/// A case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Case {
    /// How long what was confirmed waits to be archived, at 50 MB/s
    Lag,
    /// What clients get, beside what they get without archiving
    Clients,
    /// Many small messages in a queue: their backup, and its restore
    Small,
    /// Gigabytes of large messages: the restore of what is archived
    Large,
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    seconds: u64,
    lag_seconds: u64,
    warm_up: u64,
    rounds: u32,
    small: u64,
    large: u64,
}

impl Sizes {
    fn of(options: &Options) -> Self {
        let Options { seconds, lag_seconds, warm_up, rounds, small, large, quick, .. } = *options;
        match quick {
            true => Self { seconds: 2, lag_seconds: 4, warm_up: 2, rounds: 1, small: 100_000, large: 5000 },
            false => Self { seconds, lag_seconds, warm_up, rounds, small, large },
        }
    }

    fn told(self) -> String {
        let Self { seconds, lag_seconds, rounds, small, large, .. } = self;
        let megabytes = |messages: u64, size: u32| shown(messages as f64 * f64::from(size) / 1e6);
        let rounds = output::rounds(rounds);
        format!(
            "Case lag: {lag_seconds} s; clients: {seconds} s, {rounds}; small: {} messages, {} MB; large: {} messages, {} MB.",
            shown(small as f64),
            megabytes(small, SMALL),
            shown(large as f64),
            megabytes(large, LARGE)
        )
    }
}

/// # Errors
///
/// Where a program cannot be had, something could not be measured, or what was measured cannot be written.
pub(super) fn run(project: &Project, options: &Options) -> anyhow::Result<()> {
    let stores = chosen(&options.stores);
    let machine = Machine::look()?;
    let versitygw = match stores.contains(&Kind::S3) {
        true => cluster::versitygw(project)?,
        false => PathBuf::new(),
    };
    let place = Place::prepare(project, &[System::Ferrymq], options.output.binary.clone(), machine.memory_bytes)?;
    let file = options.output.json(place.folder.join("backups.json"));
    let sizes = Sizes::of(options);
    let figures = Figures {
        disk: disk_limits(&place.folder, DISK)?,
        machine,
        version: format!("FerryMQ {}", project.version()?),
        sizes: format!("{} Stores lie in {}.", sizes.told(), options.store_directory.display()),
        stores,
        measurements: Vec::new(),
    };
    let stored = options.store_directory.join(format!("ferrymq-archive-{}", std::process::id()));
    let mut run = Run { place: &place, stored, versitygw, sizes, figures, file };
    for case in chosen(&options.cases) {
        match case {
            Case::Clients => run.clients()?,
            Case::Lag | Case::Small | Case::Large => run.alone(case)?,
        }
    }
    let text = run.figures.markdown();
    options.output.tell("backups", &text, &run.file, run.figures.failures().len())
}

/// A run, as far as it got.
struct Run<'a> {
    place: &'a Place<'a>,
    /// The folder that a store has while it is measured.
    stored: PathBuf,
    versitygw: PathBuf,
    sizes: Sizes,
    figures: Figures,
    file: PathBuf,
}

impl Run<'_> {
    /// Measures by a case that is measured once, with each store.
    fn alone(&mut self, case: Case) -> anyhow::Result<()> {
        let name = name(&case);
        for kind in self.figures.stores.clone() {
            println!("{name}, {}", kind.name());
            let measured = self.store(kind).and_then(|store| self.measure(case, &store));
            self.record(&name, kind, 1, measured)?;
        }
        Ok(())
    }

    fn measure(&self, case: Case, store: &Store) -> anyhow::Result<Vec<Reading>> {
        let (place, sizes) = (self.place, &self.sizes);
        match case {
            Case::Lag => lag::measure(&self.brokers(Some(store))?, sizes, &place.outcome()),
            Case::Small => {
                let contents = Contents { messages: sizes.small, size: SMALL, queues: 1 };
                contents::measure(place, store, contents, true, sizes)
            }
            Case::Large => {
                let contents = Contents { messages: sizes.large, size: LARGE, queues: 10 };
                contents::measure(place, store, contents, false, sizes)
            }
            Case::Clients => Ok(Vec::new()),
        }
    }

    /// Measures without an archive and with each store in turn, again and again, so that what the machine does meanwhile
    /// hits all of them.
    fn clients(&mut self) -> anyhow::Result<()> {
        let (place, sizes) = (self.place, self.sizes);
        for (name, load) in clients::LOADS {
            let case = format!("clients, {name}");
            for round in 1..=sizes.rounds {
                println!("{case}, round {round}: without");
                let without = clients::measure(&self.brokers(None)?, None, &load, &sizes, &place.outcome())?;
                for kind in self.figures.stores.clone() {
                    println!("{case}, round {round}: {}", kind.name());
                    let with = self.store(kind).and_then(|store| {
                        clients::measure(&self.brokers(Some(&store))?, Some(&store), &load, &sizes, &place.outcome())
                    });
                    self.record(&case, kind, round, with.map(|with| clients::beside(&without, with)))?;
                }
            }
        }
        Ok(())
    }

    fn store(&self, kind: Kind) -> anyhow::Result<Store> {
        Store::start(kind, &self.stored, &self.versitygw)
    }

    fn brokers(&self, store: Option<&Store>) -> anyhow::Result<Brokers> {
        self.place.planned(&Plan { archive: store.map(Store::configuration), ..Plan::default() })
    }

    /// Keeps what was measured, also where this command is ended before it is done.
    fn record(
        &mut self,
        case: &str,
        store: Kind,
        round: u32,
        measured: anyhow::Result<Vec<Reading>>,
    ) -> anyhow::Result<()> {
        let (readings, failure) = match measured {
            Ok(readings) => (readings, None),
            Err(error) => (Vec::new(), Some(format!("{error:#}"))),
        };
        for Reading { what, unit, value, .. } in &readings {
            println!("  {what}: {} {unit}", shown(*value));
        }
        if let Some(failure) = &failure {
            println!("  {failure}");
        }
        self.figures.measurements.push(Measurement { case: case.to_owned(), store, round, readings, failure });
        output::keep(&self.file, &self.figures)
    }
}
