//! What the charts make, and the manifests, against the schemas of Kubernetes' own kinds, by kubeconform. The schemas are
//! made of what Kubernetes publishes of its API, strictly: a field that is none is a mistake.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::chart::{Chart, entries};
use crate::cluster;
use crate::command;
use crate::project::Project;

/// Kinds that are not Kubernetes' own: ours, which our own parser reads besides, those of Prometheus' operator, and
/// kustomize's files.
const ELSEWHERE: &str = "MessageQueue,Topic,User,PodMonitor,PrometheusRule,Kustomization";

/// # Errors
///
/// Where an object is not what its kind is, with what kubeconform says; or where kubeconform or the schemas cannot be had.
pub(super) fn check(project: &Project) -> anyhow::Result<()> {
    let kubeconform = cluster::kubeconform(project)?;
    let schemas = project.target().join("kubernetes-schemas");
    write(&cluster::openapi(project)?, &schemas)?;
    let location = schemas.join("{{ .ResourceKind }}{{ .KindSuffix }}.json");
    let mut checking = Command::new(kubeconform);
    checking.args(["-strict", "-summary", "-skip", ELSEWHERE, "-schema-location"]).arg(location).args(files(project)?);
    command::run(&mut checking).context("an object is not what its kind is; see above")
}

/// What is checked.
fn files(project: &Project) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for chart in Chart::all(&project.root)? {
        files.extend(chart.expected()?);
    }
    let mut folders = vec![project.root.join("manifests"), project.root.join("crds")];
    while let Some(folder) = folders.pop() {
        let (inner, here): (Vec<_>, Vec<_>) = entries(&folder)?.into_iter().partition(|path| path.is_dir());
        folders.extend(inner);
        files.extend(here.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "yaml")));
    }
    Ok(files)
}

/// Writes a schema for each kind, as kubeconform looks for it.
fn write(openapi: &str, folder: &Path) -> anyhow::Result<()> {
    let api: Value = serde_json::from_str(openapi).context("what Kubernetes publishes of its API is no JSON")?;
    let definitions =
        api["definitions"].as_object().context("what Kubernetes publishes of its API has no definitions")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    for (name, definition) in definitions {
        // Some belong to every group; of a kind that is written there is one.
        let Some([kind]) = definition["x-kubernetes-group-version-kind"].as_array().map(Vec::as_slice) else {
            continue;
        };
        let part = |part: &str| kind[part].as_str().unwrap_or_default().to_lowercase();
        let group = part("group");
        let group = group.split('.').next().filter(|group| !group.is_empty()).map(|group| format!("-{group}"));
        let file = format!("{}{}-{}.json", part("kind"), group.unwrap_or_default(), part("version"));
        let schema = json!({"$ref": format!("#/definitions/{name}"), "definitions": closure(name, definitions)});
        fs::write(folder.join(&file), schema.to_string()).with_context(|| format!("writing {file}"))?;
    }
    Ok(())
}

/// A definition, and all that it refers to.
fn closure(name: &str, definitions: &Map<String, Value>) -> Map<String, Value> {
    let (mut found, mut left) = (Map::new(), vec![name.to_owned()]);
    while let Some(name) = left.pop() {
        let Some(definition) = definitions.get(&name).filter(|_| !found.contains_key(&name)) else { continue };
        let mut refers_to = BTreeSet::new();
        let schema = strict(&name, definition, &mut refers_to);
        found.insert(name, schema);
        left.extend(refers_to);
    }
    found
}

/// A schema of OpenAPI as one of JSON that knows no other fields; `refers_to` gets what it refers to.
fn strict(name: &str, schema: &Value, refers_to: &mut BTreeSet<String>) -> Value {
    const EITHER: [&str; 2] =
        ["io.k8s.apimachinery.pkg.api.resource.Quantity", "io.k8s.apimachinery.pkg.util.intstr.IntOrString"];
    if EITHER.contains(&name) {
        return json!({"type": ["string", "number"]});
    }
    // As deep as Kubernetes' own types are.
    let Some(fields) = schema.as_object() else { return schema.clone() };
    if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
        refers_to.extend(target.strip_prefix("#/definitions/").map(str::to_owned));
        return json!({"$ref": target});
    }
    let mut strict = fields.clone();
    strict.remove("format");
    if let Some(properties) = fields.get("properties").and_then(Value::as_object) {
        let properties = properties.iter().map(|(name, schema)| (name.clone(), self::strict("", schema, refers_to)));
        strict.insert("properties".to_owned(), Value::Object(properties.collect()));
        strict.insert("additionalProperties".to_owned(), Value::Bool(false));
    } else if let Some(values) = fields.get("additionalProperties").filter(|values| values.is_object()) {
        strict.insert("additionalProperties".to_owned(), self::strict("", values, refers_to));
    }
    if let Some(items) = fields.get("items") {
        strict.insert("items".to_owned(), self::strict("", items, refers_to));
    }
    Value::Object(strict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_knows_its_own_fields_and_all_that_it_refers_to() {
        let quantity = "io.k8s.apimachinery.pkg.api.resource.Quantity";
        let definitions = json!({
            "a": {"properties": {"b": {"$ref": "#/definitions/b"}, "size": {"$ref": format!("#/definitions/{quantity}")}}},
            "b": {"properties": {"again": {"items": {"$ref": "#/definitions/a"}, "type": "array"}}},
            "c": {"type": "object"},
            quantity: {"type": "string"},
        });
        let closure = closure("a", definitions.as_object().unwrap());
        assert_eq!(closure.keys().collect::<Vec<_>>(), ["a", "b", quantity]);
        assert_eq!(closure["a"]["additionalProperties"], false);
        assert_eq!(closure["b"]["properties"]["again"]["items"]["$ref"], "#/definitions/a");
        assert_eq!(closure[quantity]["type"], json!(["string", "number"]));
    }

    #[test]
    fn a_kind_is_found_by_its_name_group_and_version() {
        let folder = tempfile::tempdir().unwrap();
        let kind = |group: &str, kind: &str| json!({"type": "object", "x-kubernetes-group-version-kind": [{"group": group, "kind": kind, "version": "v1"}]});
        let api = json!({"definitions": {"pod": kind("", "Pod"), "role": kind("rbac.authorization.k8s.io", "Role")}});
        write(&api.to_string(), folder.path()).unwrap();
        for file in ["pod-v1.json", "role-rbac-v1.json"] {
            assert!(folder.path().join(file).is_file(), "{file}");
        }
    }
}
