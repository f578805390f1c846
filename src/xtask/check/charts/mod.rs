//! The charts: what helm says of them, what they make of values, and which values they refuse.
//!
//! ```text
//!   charts/<chart>/tests/values/<name>.yaml    what a user may write
//!                        expected/<name>.yaml  what is made of it; `cargo xtask fix` writes it
//!                        refused/<name>.yaml   what is refused; its first line is `# refused: ` and a part of what helm says
//! ```
//!
//! All of it, and the manifests, is held against the schemas of Kubernetes' own kinds by kubeconform.
//!
//! What the operator's chart makes of its defaults is kept as plain manifests besides, in `manifests/operator`.
//!
//! MessageQueues and Topics that a chart makes go through our own parser besides, which knows more than helm does.

mod chart;
mod helm;
mod manifest;
mod problems;
mod schemas;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use self::chart::Chart;
use self::helm::{Answer, Helm};
use crate::command::{self, command};
use crate::project::Project;

/// # Errors
///
/// Where something of a chart is not as it should be; with all that is not.
pub(super) fn check(project: &Project) -> anyhow::Result<()> {
    let helm = Helm::find(project)?;
    let mut wrong = Vec::new();
    for chart in Chart::all(&project.root)? {
        // Every test of a chart that cannot be read would fail with the same words.
        match helm.lint(&chart)? {
            Some(problem) => wrong.push(problem),
            None => wrong.extend(problems::of(&chart, |values| helm.template(&chart, values))?),
        }
    }
    wrong.extend(manifest::problem(project, &helm)?);
    if let Err(error) = schemas::check(project) {
        wrong.push(format!("{error:#}"));
    }
    if let Err(error) = admitted(project) {
        wrong.push(format!("{error:#}"));
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n").replace(&format!("{}/", project.root.display()), ""));
    }
    Ok(())
}

/// Writes what the charts make now as what they are expected to make.
///
/// # Errors
///
/// Where a chart refuses values of which it should make something.
pub(crate) fn write(project: &Project) -> anyhow::Result<()> {
    let helm = Helm::find(project)?;
    for chart in Chart::all(&project.root)? {
        for values in chart.values()? {
            let rendered = match helm.template(&chart, &values)? {
                Answer::Rendered(rendered) => rendered,
                Answer::Refused(said) => bail!("{} is refused: {said}", values.display()),
            };
            let expected = chart.expected_of(&values)?;
            fs::create_dir_all(expected.parent().context("a file that lies nowhere")?)?;
            fs::write(&expected, rendered).with_context(|| format!("writing {}", expected.display()))?;
        }
        for orphan in chart.orphans()? {
            fs::remove_file(&orphan).with_context(|| format!("removing {}", orphan.display()))?;
        }
    }
    manifest::write(project, &helm)
}

/// Whether our own parser takes what the charts are expected to make.
fn admitted(project: &Project) -> anyhow::Result<()> {
    let mut files: Vec<PathBuf> = Vec::new();
    for chart in Chart::all(&project.root)? {
        for file in chart.expected()? {
            let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            if text.lines().any(|line| line.starts_with("apiVersion: ferrymq.io/")) {
                files.push(file.strip_prefix(&project.root).map(Path::to_owned).unwrap_or(file));
            }
        }
    }
    let arguments = ["run", "--quiet", "--locked", "--package", "ferrymq-xtask", "--example", "admit", "--"];
    command::run(command(&project.root, "cargo", &arguments).args(files))
        .context("our own parser refuses what a chart makes, and says above where")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// Where the fields of two schemas are not the same, at any depth at which the first one names fields.
    fn differences(ours: &Value, theirs: &Value, path: &str, found: &mut Vec<String>) {
        let fields = |schema: &Value| -> BTreeSet<String> {
            let fields = schema["properties"].as_object();
            fields.map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
        };
        if ours["properties"].is_object() {
            let (of_ours, of_theirs) = (fields(ours), fields(theirs));
            found.extend(of_ours.symmetric_difference(&of_theirs).map(|field| format!("{path}.{field}")));
            for field in of_ours.intersection(&of_theirs) {
                let path = format!("{path}.{field}");
                differences(&ours["properties"][field], &theirs["properties"][field], &path, found);
            }
        }
        if ours["items"].is_object() {
            differences(&ours["items"], &theirs["items"], &format!("{path}[]"), found);
        }
    }

    #[test]
    fn values_of_a_cluster_are_the_fields_of_its_resources() {
        let schema = Path::new("../../charts/ferrymq-cluster/values.schema.json");
        let values: Value = serde_json::from_str(&fs::read_to_string(schema).unwrap()).unwrap();
        let mut found = Vec::new();
        for crd in ferrymq_api::crds() {
            let crd = serde_json::to_value(crd).unwrap();
            let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
            let (ours, path) = match crd["spec"]["names"]["kind"].as_str() {
                Some("MessageQueue") => (&values["properties"]["cluster"], "cluster"),
                Some("Topic") => (&values["properties"]["topics"]["additionalProperties"], "topics"),
                Some("User") => (&values["properties"]["users"]["additionalProperties"], "users"),
                // It is made when there is reason for it, and not installed.
                Some("Backup") => continue,
                other => panic!("the chart knows nothing of {other:?}"),
            };
            differences(ours, spec, path, &mut found);
        }
        // The name of the resource, which is no field of its spec.
        assert_eq!(found, ["cluster.name"]);
    }
}
