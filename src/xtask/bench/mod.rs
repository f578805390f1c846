//! `cargo xtask bench`: how fast the broker is, by `ferrymq bench`; `cargo xtask bench peers`: how fast beside others; and
//! `cargo xtask bench backups`: what archiving costs, and how fast backups and restores are.
//!
//! ```text
//!   peers --start, stop--> brokers | crate::peer (scripts in tests/peers)     a system at a time, three nodes each
//!     |  --measure-------> comparison | alone --> load (a generator), usage (/proc)
//!     v
//!   results --> table --> document
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `quick.rs` | a few cases of FerryMQ alone, as the generator tells them |
//! | `peers.rs` | the run: which systems, in which order, and what becomes of what they gave |
//! | `system.rs` | the systems, and how each is started and put under load |
//! | `brokers.rs` | FerryMQ: three brokers, started, stopped, killed |
//! | `comparison.rs` | the cases that every system is measured by |
//! | `alone.rs` | the cases that only FerryMQ is measured by |
//! | `backups/` | what archives, backups and restores are measured by |
//! | `load.rs` | a load, its generator, and what that measured |
//! | `machine.rs` | the machine, and what its disk does without any broker |
//! | `usage.rs`, `process.rs` | processes: what they take, and that they end |
//! | `reading.rs`, `results.rs`, `table.rs` | numbers, all of a run, and how they are printed |
//! | `output.rs` | what was chosen, and where what was measured goes |
//! | `document.rs` | the parts of a document that are written anew |
//!
//! Invariant: no process that was started here outlives this command, however it ends.

mod alone;
mod backups;
mod brokers;
mod comparison;
mod document;
mod load;
mod machine;
mod output;
mod peers;
mod process;
mod quick;
mod reading;
mod results;
mod system;
mod table;
mod usage;

use clap::{Args, Subcommand};

use crate::project::Project;

/// What to measure.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    beside: Option<Beside>,
    #[command(flatten)]
    quick: quick::Quick,
}

#[derive(Subcommand)]
enum Beside {
    /// Measure FerryMQ beside RabbitMQ and NATS JetStream, on this machine and in one run
    Peers(peers::Options),
    /// Measure archives, backups and restores, with a directory and with a store that speaks S3
    Backups(backups::Options),
}

/// # Errors
///
/// Where a system cannot be had or started, or a load cannot be made.
pub(crate) fn run(project: &Project, options: &Options) -> anyhow::Result<()> {
    match &options.beside {
        Some(Beside::Peers(options)) => peers::run(project, options),
        Some(Beside::Backups(options)) => backups::run(project, options),
        None => quick::run(project, &options.quick),
    }
}
