//! The objects of a cluster: pure functions, one file per object, in the order in which the pods need them.

mod archives;
mod certificate_secrets;
mod client_service;
mod config_map;
mod default_user_secret;
mod exposed_services;
mod issued_certificate;
mod network_policy;
mod nodes_service;
mod pod;
mod pod_disruption_budget;
mod service_account;
mod stateful_set;
mod token_secret;
mod verification_pod;

use ferrymq_api::Cluster;
use k8s_openapi::{
    api::core::v1::{Secret, ServicePort},
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference},
        util::intstr::IntOrString,
    },
};

use crate::{
    error::ReconcileError,
    message_queue::{certificates::Made, dereference::Observed, plan::Plan},
    names,
    objects::{Kind, Object},
};

pub(crate) use default_user_secret::{AUTHORITIES_KEY, BINDING_TYPE, Binding, binding_entries};
pub(crate) use stateful_set::input;
pub(crate) use verification_pod::verification_pod;

/// All objects of a cluster.
pub(crate) fn objects(
    cluster: &Cluster,
    plan: &Plan,
    observed: &Observed,
    made: &Made,
) -> Result<Vec<Object>, ReconcileError> {
    let (name, credentials) = (&cluster.name, &observed.credentials);
    let mut objects = vec![
        Object::new(Kind::ServiceAccount, names::service_account(name), &service_account::service_account(cluster))?,
        Object::new(
            Kind::Secret,
            names::default_user_secret(name),
            &default_user_secret::default_user_secret(cluster, credentials, client_authorities(observed, made)),
        )?,
        Object::new(Kind::Secret, names::token_secret(name), &token_secret::token_secret(cluster, credentials))?,
    ];
    objects.extend(certificates(cluster, plan, made)?);
    objects.extend([
        Object::new(Kind::ConfigMap, names::config_map(name), &config_map::config_map(cluster, plan)?)?,
        Object::new(Kind::Service, names::nodes_service(name), &nodes_service::nodes_service(cluster))?,
        Object::new(Kind::Service, names::client_service(name), &client_service::client_service(cluster))?,
    ]);
    for (name, service) in exposed_services::exposed_services(cluster, plan.scale.replicas) {
        objects.push(Object::new(Kind::Service, name, &service)?);
    }
    if let Some(policy) = &cluster.network_policy {
        let policy = network_policy::network_policy(cluster, policy, plan.operator_namespace.as_deref());
        objects.push(Object::new(Kind::NetworkPolicy, names::network_policy(name), &policy)?);
    }
    objects.extend([
        Object::new(
            Kind::PodDisruptionBudget,
            names::pod_disruption_budget(name),
            &pod_disruption_budget::pod_disruption_budget(cluster),
        )?,
        Object::new(Kind::StatefulSet, names::stateful_set(name), &stateful_set::stateful_set(cluster, plan))?,
    ]);
    Ok(objects)
}

/// What the pods need before they start: their volumes are of these.
fn certificates(cluster: &Cluster, plan: &Plan, made: &Made) -> Result<Vec<Object>, ReconcileError> {
    let name = &cluster.name;
    let mut objects = Vec::new();
    let mut add =
        |kind, name: String, object: &Secret| Object::new(kind, name, object).map(|object| objects.push(object));
    let (authority, certificate) = (names::internal_authority(name), names::internal_certificate(name));
    let plain = Some(plan.certificates.accept_plain);
    add(Kind::Secret, authority.clone(), &certificate_secrets::authority(cluster, authority, &made.internal))?;
    let secret = certificate_secrets::certificate(cluster, certificate.clone(), &made.internal, plain);
    add(Kind::Secret, certificate, &secret)?;
    if let Some(clients) = &made.clients {
        let (authority, certificate) = (names::client_authority(name), names::client_certificate(name));
        add(Kind::Secret, authority.clone(), &certificate_secrets::authority(cluster, authority, clients))?;
        let secret = certificate_secrets::certificate(cluster, certificate.clone(), clients, None);
        add(Kind::Secret, certificate, &secret)?;
    }
    if let Some(certificate) = issued_certificate::issued_certificate(cluster) {
        objects.push(Object::new(Kind::Certificate, names::issued_certificate(name), &certificate)?);
    }
    Ok(objects)
}

/// Whom clients are to trust: PEM; none where nobody says so.
fn client_authorities<'a>(observed: &'a Observed, made: &'a Made) -> Option<&'a str> {
    let given = || observed.given_certificate.as_ref()?.data.as_ref()?.get(ferrymq_tls::CA_FILE);
    let given = || std::str::from_utf8(&given()?.0).ok().filter(|text| !text.trim().is_empty());
    made.clients.as_ref().map(|clients| clients.trusted.as_str()).or_else(given)
}

/// Name, labels and owner of an object of a cluster.
fn object_meta(cluster: &Cluster, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(cluster.namespace.clone()),
        labels: Some(names::labels(cluster)),
        owner_references: Some(vec![owner(cluster)]),
        ..ObjectMeta::default()
    }
}

/// A cluster as the owner of an object, which goes with it.
pub(crate) fn owner(cluster: &Cluster) -> OwnerReference {
    OwnerReference {
        api_version: format!("{}/{}", ferrymq_api::GROUP, ferrymq_api::VERSION),
        kind: "MessageQueue".to_owned(),
        name: cluster.name.clone(),
        uid: cluster.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// A port of a Service, which leads to the port of the same name of a pod.
fn service_port(name: &str, port: u16, protocol: &str) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(port),
        target_port: Some(IntOrString::String(name.to_owned())),
        protocol: Some("TCP".to_owned()),
        app_protocol: Some(protocol.to_owned()),
        ..ServicePort::default()
    }
}

/// Selects the brokers' pods.
fn selector(cluster: &Cluster) -> LabelSelector {
    LabelSelector { match_labels: Some(names::selector(&cluster.name)), ..LabelSelector::default() }
}
