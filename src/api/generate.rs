//! The files that are made from these types: the resources' definitions, as they are and as templates of the chart, and the
//! pages that document them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, JSON,
};
use kube::CustomResourceExt;
use schemars::JsonSchema;
use serde_json::Value;

use crate::{Backup, MessageQueue, Topic, User, reference};

/// A file that is generated, and must not be changed by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Where it is kept, from the root of the repository.
    pub path: String,
    /// What is in it.
    pub content: String,
}

/// A kind of resource, as everything that is generated begins with it.
pub(crate) struct Kind {
    /// Its definition.
    pub(crate) definition: CustomResourceDefinition,
    /// The schema of its types, which says more than the definition can: what each word of an enumeration means.
    pub(crate) types: Value,
}

impl Kind {
    fn of<K: CustomResourceExt + JsonSchema>() -> Self {
        let mut definition = K::crd();
        for version in &mut definition.spec.versions {
            mark_unobserved(version);
        }
        Self { definition, types: schemars::schema_for!(K).to_value() }
    }

    /// The schema of the version that there is.
    pub(crate) fn schema(&self) -> Result<Value, serde_json::Error> {
        let mut definition = serde_json::to_value(&self.definition)?;
        let schema = definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema");
        Ok(schema.map(Value::take).unwrap_or_default())
    }
}

/// Gives a resource that the operator has not seen yet a status that says so. Without one, who waits for it by the rules of
/// kstatus (Flux, kpt) would take it for ready.
fn mark_unobserved(version: &mut CustomResourceDefinitionVersion) {
    let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
    let properties = schema.and_then(|schema| schema.properties.as_mut());
    if let Some(status) = properties.and_then(|properties| properties.get_mut("status")) {
        status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
    }
}

/// All kinds of resources, in the order in which they are documented.
pub(crate) fn kinds() -> Vec<Kind> {
    vec![Kind::of::<MessageQueue>(), Kind::of::<Topic>(), Kind::of::<User>(), Kind::of::<Backup>()]
}

/// The definitions of all resources.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    kinds().into_iter().map(|kind| kind.definition).collect()
}

/// The definitions of all resources as one YAML file.
///
/// # Errors
///
/// Where one cannot be written as YAML, which a test rules out.
pub fn crds_yaml() -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for crd in crds() {
        text.push_str("---\n");
        text.push_str(&yaml(&serde_json::to_value(crd)?));
    }
    Ok(text)
}

/// All files that are made from these types.
///
/// # Errors
///
/// Where one cannot be written as YAML, which a test rules out.
pub fn generated_files() -> Result<Vec<GeneratedFile>, serde_json::Error> {
    const HEAD: &str = "# Generated from src/api by `cargo xtask fix`; do not edit.\n";
    let mut files = Vec::new();
    for crd in crds() {
        let plural = crd.spec.names.plural.clone();
        let mut value = serde_json::to_value(crd)?;
        files.push(GeneratedFile { path: format!("crds/{plural}.yaml"), content: format!("{HEAD}{}", yaml(&value)) });
        // Helm upgrades what is a template, and leaves alone what is in its own crds/ folder; a definition that goes takes
        // all resources with it, so it is kept when the chart is uninstalled.
        if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
            metadata.insert("annotations".to_owned(), serde_json::json!({"helm.sh/resource-policy": "keep"}));
        }
        files.push(GeneratedFile {
            path: format!("charts/ferrymq/templates/crds/{plural}.yaml"),
            content: format!("{HEAD}{{{{- if .Values.crds.enabled }}}}\n{}{{{{- end }}}}\n", yaml(&value)),
        });
    }
    files.push(GeneratedFile { path: "docs/reference.md".to_owned(), content: reference::page(&kinds())? });
    files.push(GeneratedFile { path: "docs/conditions.md".to_owned(), content: reference::conditions() });
    Ok(files)
}

/// A value as YAML in block form. Every text that any version of YAML could take for something else is quoted.
fn yaml(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, false, &mut text);
    text
}

fn write(value: &Value, indent: usize, in_list: bool, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (index, (key, value)) in fields.iter().enumerate() {
                if !(in_list && index == 0) {
                    text.push_str(&" ".repeat(indent));
                }
                text.push_str(&scalar(key));
                text.push(':');
                inner(value, indent, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                text.push_str(&" ".repeat(indent));
                text.push('-');
                match item {
                    Value::Object(fields) if !fields.is_empty() => {
                        text.push(' ');
                        write(item, indent + 2, true, text);
                    }
                    _ => inner(item, indent, text),
                }
            }
        }
        _ => {}
    }
}

/// What stands behind `key:` or `-`.
fn inner(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            write(value, indent + 2, false, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            write(value, indent + 2, false, text);
        }
        Value::Object(_) => text.push_str(" {}\n"),
        Value::Array(_) => text.push_str(" []\n"),
        Value::String(string) => {
            text.push(' ');
            text.push_str(&scalar(string));
            text.push('\n');
        }
        other => {
            text.push(' ');
            text.push_str(&other.to_string());
            text.push('\n');
        }
    }
}

/// A text, plain where nothing could take it for anything else, else as JSON writes it, which is YAML too.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || " _-./(),+@".contains(c))
        && !text.ends_with(' ')
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null" | "inf" | "nan"
        );
    if plain { text.to_owned() } else { Value::String(text.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::documents;

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for crd in crds() {
            let value = serde_json::to_value(crd).unwrap();
            assert_eq!(documents(&yaml(&value)).unwrap().remove(0).value(), value);
        }
    }

    #[test]
    fn the_chart_keeps_the_definitions_when_it_goes() {
        let files = generated_files().unwrap();
        assert_eq!(files.iter().filter(|file| file.path.starts_with("charts/")).count(), crds().len());
        for file in files.iter().filter(|file| file.path.starts_with("charts/")) {
            assert!(
                file.content.contains("helm.sh/resource-policy\": keep")
                    || file.content.contains("helm.sh/resource-policy: keep")
            );
            // Anything that Helm would take for a template of its own.
            assert_eq!(file.content.matches("{{").count(), 2, "{}", file.path);
        }
    }

    #[test]
    fn a_resource_that_nobody_has_seen_says_so() {
        for kind in kinds() {
            let schema = kind.schema().unwrap();
            let status = &schema["properties"]["status"];
            assert_eq!(status["default"], serde_json::json!({"observedGeneration": -1}));
            // The API server refuses a default that lacks what its schema requires.
            let required = status["required"].as_array().cloned().unwrap_or_default();
            let lacks = |field: &&Value| {
                field.as_str().is_some_and(|field| status["properties"][field].get("default").is_none())
            };
            assert_eq!(required.iter().find(lacks), None);
        }
    }

    #[test]
    fn conditions_are_a_map_by_type() {
        for crd in crds() {
            let value = serde_json::to_value(crd).unwrap();
            let conditions = value
                .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/conditions")
                .unwrap();
            assert_eq!(conditions["x-kubernetes-list-type"], "map");
            assert_eq!(conditions["x-kubernetes-list-map-keys"], serde_json::json!(["type"]));
        }
    }
}
