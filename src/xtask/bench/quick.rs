//! A few cases of FerryMQ alone, as the generator tells them.

use std::path::PathBuf;

use super::brokers::{Brokers, Plan, generator, uris};
use super::machine::Machine;

use super::usage;
use crate::command;
use crate::image::binary;
use crate::peer;
use crate::project::Project;

/// What to measure.
#[derive(clap::Args)]
pub(super) struct Quick {
    /// Seconds that each case is measured for
    #[arg(long, default_value_t = 15)]
    seconds: u32,
    /// Bytes of a message
    #[arg(long, default_value_t = 1000)]
    size: u32,
    /// Publishes that may wait for their confirm
    #[arg(long, default_value_t = 200)]
    confirms: u32,
    /// Measure something that runs already, at this URI
    #[arg(long)]
    uri: Option<String>,
    /// Measure this ferrymq instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// A case: its name, and what the generator is told.
const CASES: [(&str, &[&str]); 3] = [
    ("1,000 a second, one consumer", &["--rate", "1000"]),
    ("one queue, one publisher, one consumer", &[]),
    ("one queue, one publisher", &["--consumers", "0"]),
];

/// # Errors
///
/// Where the brokers cannot be had, or a load cannot be made.
pub(super) fn run(project: &Project, options: &Quick) -> anyhow::Result<()> {
    let binary = match &options.binary {
        Some(binary) => std::path::absolute(binary)?,
        None => binary::build(project)?,
    };
    let folder = peer::folder(project).join("ferrymq");
    let (brokers, uris) = match &options.uri {
        Some(uri) => (None, vec![uri.clone()]),
        None => (Some(Brokers::start(&binary, &folder, Machine::look()?.memory_bytes, &Plan::default())?), uris()),
    };
    for (name, arguments) in CASES {
        println!("{name}:");
        let mut generator = generator(&binary, &uris)?;
        generator.args(["--seconds", &options.seconds.to_string(), "--size", &options.size.to_string()]);
        generator.args(["--confirms", &options.confirms.to_string(), "--warm-up", "2", "--delete"]);
        command::run(generator.args(arguments))?;
    }
    if let Some(brokers) = &brokers {
        let memory = brokers.ids().into_iter().map(usage::memory).sum::<anyhow::Result<u64>>()?;
        println!("memory of the three brokers: {} MB", memory / 1_000_000);
    }
    Ok(())
}
