//! An archive in a store that speaks S3, a real one: `src/archive/tests`.

use super::{tally::Tally, target};
use crate::cluster;
use crate::project::Project;

pub(super) fn run(project: &Project, name: Option<&str>, tally: &mut Tally) -> anyhow::Result<()> {
    let server = cluster::versitygw(project)?;
    let mut tests = target(project, "s3");
    tests.args(name);
    tally.run(tests.env("FERRYMQ_VERSITYGW", server))
}
