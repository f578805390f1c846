//! The operator's plain manifests: what its chart makes of its defaults, for those who have no helm.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail};

use super::chart::Chart;
use super::helm::{Answer, Helm};
use crate::project::Project;

/// The file, from the root of the checkout.
const FILE: &str = "manifests/operator/operator.yaml";

const HEAD: &str = "# What charts/ferrymq makes of its defaults, written by `cargo xtask fix`; do not edit.\n";

/// What is wrong with the file, where something is.
///
/// # Errors
///
/// Where helm cannot be asked.
pub(super) fn problem(project: &Project, helm: &Helm) -> anyhow::Result<Option<String>> {
    let there = fs::read_to_string(file(project)).unwrap_or_default();
    let same = there == rendered(project, helm)?;
    Ok((!same).then(|| format!("{FILE}: not what charts/ferrymq makes of its defaults; run `cargo xtask fix`")))
}

/// # Errors
///
/// Where helm refuses the chart's defaults, or the file cannot be written.
pub(super) fn write(project: &Project, helm: &Helm) -> anyhow::Result<()> {
    fs::write(file(project), rendered(project, helm)?).with_context(|| format!("writing {FILE}"))
}

fn file(project: &Project) -> PathBuf {
    project.root.join(FILE)
}

fn rendered(project: &Project, helm: &Helm) -> anyhow::Result<String> {
    let chart = Chart { folder: project.root.join("charts/ferrymq") };
    match helm.defaults(&chart, "ferrymq", "ferrymq-system")? {
        Answer::Rendered(rendered) => Ok(format!("{HEAD}{rendered}")),
        Answer::Refused(said) => bail!("helm makes nothing of the defaults of charts/ferrymq: {said}"),
    }
}
