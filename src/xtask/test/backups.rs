//! An archive in a store that speaks S3, a real one: `src/archive/tests`.

use super::tally::Tally;
use crate::cluster;
use crate::command::command;
use crate::project::Project;

pub(super) fn run(project: &Project, name: Option<&str>, tally: &mut Tally) -> anyhow::Result<()> {
    let server = cluster::versitygw(project)?;
    let arguments = ["test", "--quiet", "--locked", "--package", "ferrymq-archive", "--test", "s3"];
    let mut tests = command(&project.root, "cargo", &arguments);
    tests.args(["--", "--include-ignored", "--format", "pretty"]).args(name);
    tally.run(tests.env("FERRYMQ_VERSITYGW", server))
}
