//! Unmodified client programs against `ferrymq dev`: `tests/clients`.

use super::tally::Tally;
use crate::command::command;
use crate::image::binary;
use crate::project::Project;

pub(super) fn run(project: &Project, name: Option<&str>, tally: &mut Tally) -> anyhow::Result<()> {
    let binary = binary::build(project)?;
    let arguments = ["test", "--quiet", "--locked", "--package", "ferrymq", "--test", "clients"];
    let mut tests = command(&project.root, "cargo", &arguments);
    tests.args(["--", "--include-ignored", "--test-threads", "1", "--nocapture", "--format", "pretty"]).args(name);
    tally.run(tests.env("FERRYMQ_BIN", binary).env("FERRYMQ_CACHE", &project.cache))
}
