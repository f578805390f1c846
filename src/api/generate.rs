//! The files that are made from these types: the resources' definitions, as they are and as templates of the chart.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::{MessageQueue, Topic};

/// A file that is generated, and must not be changed by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Where it is kept, from the root of the repository.
    pub path: String,
    /// What is in it.
    pub content: String,
}

/// The definitions of all resources.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![MessageQueue::crd(), Topic::crd()]
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
        assert_eq!(files.len(), 4);
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
