//! The objects of a cluster: pure functions, one file per object, in the order in which the pods need them.

mod client_service;
mod config_map;
mod default_user_secret;
mod nodes_service;
mod pod;
mod pod_disruption_budget;
mod service_account;
mod stateful_set;
mod token_secret;

use ferrymq_api::Cluster;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};

use crate::{
    error::ReconcileError,
    message_queue::{dereference::Credentials, plan::Plan},
    names,
    objects::{Kind, Object},
};

pub(crate) use default_user_secret::{BINDING_TYPE, binding_entries};
pub(crate) use stateful_set::input;

/// All objects of a cluster.
pub(crate) fn objects(
    cluster: &Cluster,
    plan: &Plan,
    credentials: &Credentials,
) -> Result<Vec<Object>, ReconcileError> {
    let name = &cluster.name;
    Ok(vec![
        Object::new(Kind::ServiceAccount, names::service_account(name), &service_account::service_account(cluster))?,
        Object::new(
            Kind::Secret,
            names::default_user_secret(name),
            &default_user_secret::default_user_secret(cluster, credentials),
        )?,
        Object::new(Kind::Secret, names::token_secret(name), &token_secret::token_secret(cluster, credentials))?,
        Object::new(Kind::ConfigMap, names::config_map(name), &config_map::config_map(cluster, plan)?)?,
        Object::new(Kind::Service, names::nodes_service(name), &nodes_service::nodes_service(cluster))?,
        Object::new(Kind::Service, names::client_service(name), &client_service::client_service(cluster))?,
        Object::new(
            Kind::PodDisruptionBudget,
            names::pod_disruption_budget(name),
            &pod_disruption_budget::pod_disruption_budget(cluster),
        )?,
        Object::new(Kind::StatefulSet, names::stateful_set(name), &stateful_set::stateful_set(cluster, plan))?,
    ])
}

/// Name, labels and owner of an object of a cluster.
fn object_meta(cluster: &Cluster, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(cluster.namespace.clone()),
        labels: Some(names::labels(cluster)),
        owner_references: Some(vec![OwnerReference {
            api_version: format!("{}/{}", ferrymq_api::GROUP, ferrymq_api::VERSION),
            kind: "MessageQueue".to_owned(),
            name: cluster.name.clone(),
            uid: cluster.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        ..ObjectMeta::default()
    }
}

/// Selects the brokers' pods.
fn selector(cluster: &Cluster) -> LabelSelector {
    LabelSelector { match_labels: Some(names::selector(&cluster.name)), ..LabelSelector::default() }
}
