//! Unmodified client programs against `ferrymq dev`: `tests/clients`.

use super::{tally::Tally, target};
use crate::image::binary;
use crate::project::Project;

pub(super) fn run(project: &Project, name: Option<&str>, tally: &mut Tally) -> anyhow::Result<()> {
    let binary = binary::build(project)?;
    let mut tests = target(project, "clients");
    tests.args(["--test-threads", "1", "--nocapture"]).args(name);
    tally.run(tests.env("FERRYMQ_BIN", binary).env("FERRYMQ_CACHE", &project.cache))
}
