//! `cargo xtask simulate`: whole clusters in one process, whose disks, links and clocks fail as a seed says.

use crate::command::{self, command};
use crate::project::Project;

/// Which seeds.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What `ferrymq-simulate` is told: `--seeds N`, `--first SEED`, `--seed SEED`, `--keep-going`, `--flaw NAME`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// # Errors
///
/// Where a seed broke a promise; what it printed says which, and how it is run again.
pub(crate) fn run(project: &Project, options: &Options) -> anyhow::Result<()> {
    let arguments = ["run", "--quiet", "--locked", "--package", "ferrymq-simulation", "--"];
    command::run(command(&project.root, "cargo", &arguments).args(&options.arguments))
}
