//! What needs nothing but cargo: unit, property and documentation tests of all packages.

use super::tally::Tally;
use crate::command::command;
use crate::project::Project;

pub(super) fn run(project: &Project, name: Option<&str>, tally: &mut Tally) -> anyhow::Result<()> {
    let mut tests = command(&project.root, "cargo", &["test", "--quiet", "--locked", "--workspace", "--no-fail-fast"]);
    // One line a test, so that a failure is named.
    tally.run(tests.args(name).args(["--", "--format", "pretty"]))
}
