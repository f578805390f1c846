//! `cargo xtask fix`: mends what a program can mend.

use crate::check::{charts, generated};
use crate::command::{self, command};
use crate::project::Project;

/// # Errors
///
/// Where one of the programs fails.
pub(crate) fn run(project: &Project) -> anyhow::Result<()> {
    let root = &project.root;
    let lints = [
        "clippy",
        "--fix",
        "--allow-dirty",
        "--allow-staged",
        "--workspace",
        "--all-targets",
        "--test",
        "clients",
        "--test",
        "kubernetes",
    ];
    command::run(&mut command(root, "cargo", &lints))?;
    generated::write(project)?;
    charts::write(project)?;
    command::run(&mut command(root, "cargo", &["fmt", "--all"]))
}
