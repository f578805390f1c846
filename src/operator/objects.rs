//! Kinds of objects that the operator owns; whether what is there is what is wanted.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, Secret, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    error::ReconcileError,
    names::{FIELD_MANAGER, WRITTEN_ANNOTATION},
};

/// A kind of object that a `MessageQueue` owns, in the order in which its pods need them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    ServiceAccount,
    Secret,
    /// Of cert-manager.
    Certificate,
    ConfigMap,
    Service,
    NetworkPolicy,
    PodDisruptionBudget,
    StatefulSet,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "ServiceAccount",
            Self::Secret => "Secret",
            Self::Certificate => "Certificate",
            Self::ConfigMap => "ConfigMap",
            Self::Service => "Service",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::StatefulSet => "StatefulSet",
        }
    }

    fn api_resource(self) -> ApiResource {
        match self {
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::Secret => ApiResource::erase::<Secret>(&()),
            Self::Certificate => ApiResource::from_gvk(&GroupVersionKind::gvk("cert-manager.io", "v1", "Certificate")),
            Self::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
        }
    }

    pub(crate) fn api(self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), namespace, &self.api_resource())
    }
}

/// An object to be written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) value: Value,
}

impl Object {
    /// An object, with the mark of what it was written as.
    pub(crate) fn new(kind: Kind, name: String, object: &impl Serialize) -> Result<Self, ReconcileError> {
        let mut value = serde_json::to_value(object)
            .map_err(|source| ReconcileError::Serialize { what: format!("{} {name}", kind.as_str()), source })?;
        let written = fingerprint(&value);
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(serde_json::Map::new()));
            if let Some(annotations) = annotations.as_object_mut() {
                annotations.insert(WRITTEN_ANNOTATION.to_owned(), Value::String(written));
            }
        }
        Ok(Self { kind, name, value })
    }

    /// Kind and name, for people to read.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.kind.as_str(), self.name)
    }
}

/// Whether all that is wanted is there. What is there besides (defaults, status, other writers' fields) is no difference;
/// what was wanted once and is no more shows in the mark of what was written.
pub(crate) fn is_there(wanted: &Value, there: &Value) -> bool {
    match (wanted, there) {
        (Value::Object(wanted), Value::Object(there)) => wanted.iter().all(|(key, wanted)| match there.get(key) {
            Some(there) => is_there(wanted, there),
            None => wanted.is_null() || wanted.as_object().is_some_and(serde_json::Map::is_empty),
        }),
        (Value::Array(wanted), Value::Array(there)) => {
            wanted.len() == there.len() && wanted.iter().zip(there).all(|(wanted, there)| is_there(wanted, there))
        }
        (wanted, there) => wanted == there,
    }
}

/// Where what is wanted is not what is there: the path of the first such field.
pub(crate) fn difference(wanted: &Value, there: &Value) -> Option<String> {
    if is_there(wanted, there) {
        return None;
    }
    let mut path = Vec::new();
    let (mut wanted, mut there) = (wanted, there);
    // As deep as the JSON is, which its parser bounds.
    loop {
        let differs = match (wanted, there) {
            (Value::Object(wanted), Value::Object(there)) => wanted
                .iter()
                .find(|(key, wanted)| there.get(*key).is_some_and(|there| !is_there(wanted, there)))
                .and_then(|(key, wanted)| Some((key.clone(), wanted, there.get(key)?))),
            (Value::Array(wanted), Value::Array(there)) => wanted
                .iter()
                .zip(there)
                .enumerate()
                .find(|(_, (wanted, there))| !is_there(wanted, there))
                .map(|(index, (wanted, there))| (index.to_string(), wanted, there)),
            _ => None,
        };
        let Some((key, deeper, other)) = differs else { return Some(path.join(".")) };
        path.push(key);
        (wanted, there) = (deeper, other);
    }
}

/// Who else writes to an object, as far as it says so.
pub(crate) fn other_writers(there: &Value) -> BTreeSet<String> {
    let fields = there.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let of_itself = fields.filter(|entry| entry.get("subresource").is_none_or(|part| part == ""));
    let names = of_itself.filter_map(|entry| entry.get("manager")?.as_str());
    names.filter(|manager| *manager != FIELD_MANAGER).map(str::to_owned).collect()
}

/// Who controls an object, where somebody does.
pub(crate) fn controller(object: &DynamicObject) -> Option<&OwnerReference> {
    object.metadata.owner_references.as_ref()?.iter().find(|owner| owner.controller == Some(true))
}

/// A short mark that is the same for the same content, in every version of the operator: FNV-1a, 64 bits.
pub(crate) fn fingerprint(value: &Value) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in in_order(value).bytes() {
        hash ^= u64::from(byte);
        hash = hash.wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}

/// JSON with the fields of every object in the order of their names, whatever order they were put in.
fn in_order(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: std::collections::BTreeMap<_, _> = fields.iter().collect();
            let fields = fields.into_iter().map(|(key, value)| format!("{key:?}:{}", in_order(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(in_order).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_that_the_api_server_adds_are_no_difference() {
        let wanted = json!({"spec": {"ports": [{"port": 1}], "empty": {}}});
        let there = json!({"spec": {"ports": [{"port": 1, "protocol": "TCP"}], "type": "ClusterIP"}, "status": {}});
        assert!(is_there(&wanted, &there));
    }

    #[test]
    fn a_changed_value_and_a_list_of_another_length_are_differences() {
        let wanted = json!({"spec": {"ports": [{"port": 1}]}});
        assert!(!is_there(&wanted, &json!({"spec": {"ports": [{"port": 2}]}})));
        assert!(!is_there(&wanted, &json!({"spec": {"ports": [{"port": 1}, {"port": 2}]}})));
        assert!(!is_there(&wanted, &json!({"spec": {}})));
    }

    #[test]
    fn a_difference_is_named_by_its_path() {
        let wanted = json!({"spec": {"ports": [{"port": 1}, {"port": 2}], "type": "ClusterIP"}});
        let there = json!({"spec": {"ports": [{"port": 1}, {"port": 3}], "type": "ClusterIP"}});
        assert_eq!(difference(&wanted, &there).as_deref(), Some("spec.ports.1.port"));
        assert_eq!(difference(&wanted, &json!({"spec": {"type": "ClusterIP"}})).as_deref(), Some("spec"));
        assert_eq!(difference(&wanted, &wanted), None);
    }

    #[test]
    fn a_fingerprint_never_changes_from_one_version_to_the_next() {
        assert_eq!(fingerprint(&json!({"a": 1})), "9c3e82dd6fcae8b1");
    }
}
