//! The project's own commands, `cargo xtask …`. CI calls these and nothing else.
//!
//! | file | what it does |
//! |---|---|
//! | `check/` | everything that must hold before a change is taken, without writing anything |
//! | `fix.rs` | writes what `check` would complain of and a program can mend |
//! | `test/` | unit tests, client programs, moves from RabbitMQ, Kubernetes; sums them up |
//! | `image/` | one static binary, packed into an image without a container engine |
//! | `peer.rs` | RabbitMQ and NATS, to be measured beside, and to be moved from |
//! | `previous.rs` | the build from which upgrades are tested |
//! | `cluster/` | the Kubernetes that the tests run on: its binaries, its start and its end |
//! | `simulate.rs` | clusters whose disks, links and clocks fail as a seed says |
//! | `bench/` | how fast the broker is, alone and beside others |
//! | `generate.rs`, `admit.rs`, `monitoring/` | examples of this package: the files that are made from the custom resources; what our parser says of files of them; the page of the metrics, and what alerts ask for |
//!
//! What is built here is kept in `$FERRYMQ_CACHE`, by default `~/.cache/ferrymq`, outside of the checkout.

mod bench;
mod check;
mod cluster;
mod command;
mod fix;
mod image;
mod peer;
mod previous;
mod project;
mod simulate;
mod test;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check format, lints, docs, links, licences, generated files, charts and the direction of dependencies; write nothing
    Check,
    /// Mend what a program can mend: format, lints, generated files, what the charts are expected to make
    Fix,
    /// Run the tests and sum them up
    Test(test::Options),
    /// Pack the image, without a container engine
    Image(image::Options),
    /// The Kubernetes that the tests run on
    #[command(subcommand)]
    Cluster(cluster::Action),
    /// Simulate clusters whose disks, links and clocks fail
    Simulate(simulate::Options),
    /// Measure the broker
    Bench(bench::Options),
}

fn main() -> anyhow::Result<()> {
    let project = project::Project::find()?;
    match Arguments::parse().task {
        Task::Check => check::run(&project),
        Task::Fix => fix::run(&project),
        Task::Test(options) => test::run(&project, &options),
        Task::Image(options) => image::run(&project, &options),
        Task::Cluster(action) => cluster::run(&project, &action),
        Task::Simulate(options) => simulate::run(&project, &options),
        Task::Bench(options) => bench::run(&project, &options),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Arguments;

    #[test]
    fn what_can_be_typed_contradicts_itself_nowhere() {
        Arguments::command().debug_assert();
    }
}
