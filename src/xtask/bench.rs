//! `cargo xtask bench`: measures the broker.

use anyhow::bail;

use crate::project::Project;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// # Errors
///
/// Always, until there is a broker to measure.
pub(crate) fn run(_project: &Project, _options: &Options) -> anyhow::Result<()> {
    bail!("there is nothing to measure yet: `ferrymq bench` is still to be written")
}
