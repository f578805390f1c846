//! `cargo xtask test`: runs the tests, shows again what they measured, and closes with a plain count.

mod backups;
mod clients;
mod import;
mod kubernetes;
mod tally;
mod unit;

use std::{process::Command, time::Instant};

use self::tally::Tally;
use crate::command::command;
use crate::project::Project;

/// Which tests to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// One kind of tests; all of them where none is said
    #[arg(value_enum)]
    kind: Option<Kind>,
    /// Only the tests whose names contain this
    #[arg(requires = "kind")]
    name: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Kind {
    /// What needs nothing but cargo
    Unit,
    /// Unmodified client programs against `ferrymq dev`
    Clients,
    /// Moves from a real RabbitMQ
    Import,
    /// Archives in a real store that speaks S3
    Backups,
    /// Stories on a real Kubernetes
    Kubernetes,
}

/// Ends the process with a failure where a test fails, or one kind of tests cannot be run at all.
///
/// # Errors
///
/// Never: what goes wrong is counted.
pub(crate) fn run(project: &Project, options: &Options) -> anyhow::Result<()> {
    let mut tally = Tally::default();
    for kind in [Kind::Unit, Kind::Clients, Kind::Import, Kind::Backups, Kind::Kubernetes] {
        if options.kind.is_some_and(|asked| asked != kind) {
            continue;
        }
        let (what, started) = (format!("{kind:?}").to_lowercase(), Instant::now());
        println!("test: {what}");
        let name = options.name.as_deref();
        let done = match kind {
            Kind::Unit => unit::run(project, name, &mut tally),
            Kind::Clients => clients::run(project, name, &mut tally),
            Kind::Import => import::run(project, name, &mut tally),
            Kind::Backups => backups::run(project, name, &mut tally),
            Kind::Kubernetes => kubernetes::run(project, name, &mut tally),
        };
        // What could not be run counts as one that failed: silence must not look like success.
        if let Err(error) = done {
            tally.broken(&what, &error);
        }
        println!("test: {what} took {} s", started.elapsed().as_secs());
    }
    tally.print();
    if tally.failed > 0 {
        // Not by an error, whose message would come after the count.
        std::process::exit(1);
    }
    Ok(())
}

/// The tests of one target, also those that are not run without what they need. The whole workspace is named, as for the unit
/// tests: with other features of its dependencies all of them would be compiled once more.
fn target(project: &Project, name: &str) -> Command {
    let mut tests = command(&project.root, "cargo", &["test", "--quiet", "--locked", "--workspace", "--test", name]);
    tests.args(["--", "--include-ignored", "--format", "pretty"]);
    tests
}
