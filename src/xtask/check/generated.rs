//! The files that are made from the custom resources, `crds/` and the chart's copies of them; and the page of the metrics.

use crate::command::{self, command};
use crate::project::Project;

/// # Errors
///
/// Where a file is not what would be made, with its path.
pub(super) fn check(project: &Project) -> anyhow::Result<()> {
    generate(project, "--check")
}

/// # Errors
///
/// Where a file cannot be written.
pub(crate) fn write(project: &Project) -> anyhow::Result<()> {
    generate(project, "--write")
}

fn generate(project: &Project, mode: &str) -> anyhow::Result<()> {
    for example in ["generate", "monitoring"] {
        let arguments = ["run", "--quiet", "--locked", "--package", "ferrymq-xtask", "--example", example, "--", mode];
        command::run(&mut command(&project.root, "cargo", &arguments))?;
    }
    Ok(())
}
