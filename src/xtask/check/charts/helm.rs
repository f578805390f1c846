//! Asking helm.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::Context as _;

use super::chart::Chart;
use crate::cluster;
use crate::command;
use crate::project::Project;

/// Release and namespace of all that is rendered of values.
const RELEASE: [&str; 3] = ["orders", "--namespace", "shop"];

/// The Kubernetes that helm takes for there; else each version of helm takes another one.
const KUBERNETES: [&str; 2] = ["--kube-version", "1.36.3"];

/// What it says below every refusal; of no use to us.
const ADVICE: &str = "Use --debug flag to render out invalid YAML";

/// What helm makes of a chart and values.
pub(super) enum Answer {
    /// The objects.
    Rendered(String),
    /// None; and why.
    Refused(String),
}

/// A helm.
pub(super) struct Helm {
    program: PathBuf,
}

impl Helm {
    /// # Errors
    ///
    /// Where there is none, and it cannot be built.
    pub(super) fn find(project: &Project) -> anyhow::Result<Self> {
        Ok(Self { program: cluster::helm(project)? })
    }

    /// What is wrong with a chart as a whole, warnings included.
    pub(super) fn lint(&self, chart: &Chart) -> anyhow::Result<Option<String>> {
        let mut lint = Command::new(&self.program);
        lint.args(["lint", "--strict", "--quiet"]).args(KUBERNETES).arg(&chart.folder);
        let output = output(&mut lint)?;
        Ok((!output.status.success()).then(|| format!("{}: {}", chart.folder.display(), said(&output))))
    }

    /// What it makes of values.
    pub(super) fn template(&self, chart: &Chart, values: &Path) -> anyhow::Result<Answer> {
        self.render(chart, &RELEASE, &[Path::new("--values"), values])
    }

    /// What it makes of the chart's own values, under another name and in another namespace.
    pub(super) fn defaults(&self, chart: &Chart, release: &str, namespace: &str) -> anyhow::Result<Answer> {
        self.render(chart, &[release, "--namespace", namespace], &[])
    }

    fn render(&self, chart: &Chart, release: &[&str], more: &[&Path]) -> anyhow::Result<Answer> {
        let mut template = Command::new(&self.program);
        template.arg("template").args(release).args(KUBERNETES).arg(&chart.folder).args(more);
        let output = output(&mut template)?;
        if !output.status.success() {
            return Ok(Answer::Refused(said(&output)));
        }
        Ok(Answer::Rendered(String::from_utf8(output.stdout).context("helm rendered what is no text")?))
    }
}

fn output(command: &mut Command) -> anyhow::Result<Output> {
    command.output().with_context(|| format!("cannot start {}", command::shown(command)))
}

fn said(output: &Output) -> String {
    let parts = [&output.stdout, &output.stderr].map(|part| String::from_utf8_lossy(part).trim().to_owned());
    parts.join("\n").replace(ADVICE, "").trim().to_owned()
}
