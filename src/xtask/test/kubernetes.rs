//! Stories on a real Kubernetes: `tests/kubernetes`.

use std::env;
use std::ffi::OsString;

use super::{tally::Tally, target};
use crate::cluster::{self, Cluster};
use crate::image::{self, binary, megabytes};
use crate::previous::Previous;
use crate::project::Project;

pub(super) fn run(project: &Project, name: Option<&str>, tally: &mut Tally) -> anyhow::Result<()> {
    let cluster = Cluster::find(project);
    cluster.up(project)?;
    let image = match (&cluster, env::var("FERRYMQ_IMAGE")) {
        // A cluster that is not ours is told by whoever runs this where it finds the image.
        (Cluster::Given(_), Ok(reference)) => reference,
        _ => {
            let packed = image::pack(project, &image::Options { tag_by_content: true, ..Default::default() })?;
            tally.see(&format!("measured: image: {:.1} MB", megabytes(packed.bytes)));
            cluster.load(&packed.archive)?;
            packed.reference
        }
    };
    let previous = match &cluster {
        Cluster::Ours { .. } => Previous::find(project)?,
        // Its image is not put there by us.
        Cluster::Given(_) => None,
    };
    let mut upgrades = Vec::new();
    if let Some(Previous { binary, charts }) = previous {
        let out = Some(project.target().join("ferrymq-previous-image.tar"));
        let options = image::Options { out, tag_by_content: true, ..Default::default() };
        let packed = image::pack_binary(project, &binary, &options)?;
        cluster.load(&packed.archive)?;
        upgrades =
            vec![("FERRYMQ_PREVIOUS_IMAGE", packed.reference.into()), ("FERRYMQ_PREVIOUS_CHARTS", charts.into())];
    }
    // One story after another, as each breaks things that the next wants whole; each says what it measured.
    let mut tests = target(project, "kubernetes");
    tests.args(["--test-threads", "1", "--nocapture"]).args(name);
    // What the image has, on this machine: the plugin of kubectl.
    let binary = binary::build(project)?;
    let store = cluster::versitygw(project)?;
    tests.envs(cluster.environment()?).envs::<_, _, OsString>(upgrades);
    tally.run(tests.env("FERRYMQ_IMAGE", image).env("FERRYMQ_BIN", binary).env("FERRYMQ_VERSITYGW", store))
}
