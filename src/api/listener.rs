//! Ports for clients: what may be said of them, and the checked form.

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ExposeSpec, Exposure, Problem, exposure, sentence};

/// Ports of a broker that no listener may have: links between brokers, the admin API, and the metrics.
const OWN_PORTS: [u16; 3] = [7400, 7500, 9419];

/// A port for clients.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListenerSpec {
    /// Its name, which is the name of the port of the Service too.
    #[schemars(length(max = 63))]
    #[x_kube(validation = Rule::new("self.size() <= 15 && self.matches('^([a-z0-9]+-)*[a-z0-9]+$') && self.matches('[a-z]') && self != 'link' && self != 'admin' && self != 'metrics'").message(sentence::LISTENER_NAME))]
    pub name: String,

    /// What is spoken there.
    pub protocol: ListenerProtocol,

    /// The port, of the brokers and of the Service.
    #[x_kube(validation = Rule::new("self >= 1024 && self <= 65535 && self != 7400 && self != 7500 && self != 9419").message(sentence::LISTENER_PORT))]
    pub port: i32,

    /// Whether TLS is spoken there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,

    /// How it is reached besides the Service of the cluster, which has every listener. Default: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expose: Option<ExposeSpec>,

    /// Who may connect, as in the `from` of a NetworkPolicy: pods, namespaces, blocks of addresses. Default: everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub from: Vec<NetworkPolicyPeer>,
}

/// A protocol of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ListenerProtocol {
    /// AMQP 0-9-1.
    Amqp,
}

impl ListenerProtocol {
    /// Its name, as in URLs and as `appProtocol` of a Service.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amqp => "amqp",
        }
    }
}

/// A port for clients, checked.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ListenerPort {
    /// Its name: a name for a port of a Service.
    pub name: String,
    /// What is spoken there.
    pub protocol: ListenerProtocol,
    /// The port.
    pub port: u16,
    /// Whether TLS is spoken there.
    pub tls: bool,
    /// How it is reached besides the Service of the cluster.
    pub exposure: Option<Exposure>,
    /// Who may connect; everybody where nobody is named.
    pub from: Vec<NetworkPolicyPeer>,
}

impl ListenerPort {
    /// What URIs of it begin with, and what a Service says is spoken there.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match (self.protocol, self.tls) {
            (ListenerProtocol::Amqp, false) => "amqp",
            (ListenerProtocol::Amqp, true) => "amqps",
        }
    }
}

/// The listeners of a cluster that says nothing of them.
pub(crate) fn usual(with_tls: bool) -> Vec<ListenerPort> {
    let amqp = |name: &str, port, tls| ListenerPort {
        name: name.to_owned(),
        protocol: ListenerProtocol::Amqp,
        port,
        tls,
        exposure: None,
        from: Vec::new(),
    };
    let mut listeners = vec![amqp("amqp", 5672, false)];
    listeners.extend(with_tls.then(|| amqp("amqps", 5671, true)));
    listeners
}

pub(crate) fn check(specs: &[ListenerSpec], with_tls: bool, problems: &mut Vec<Problem>) -> Vec<ListenerPort> {
    match specs.len() {
        0 => problems.push(Problem::new("spec.listeners", sentence::LISTENERS_EMPTY)),
        1..=16 => {}
        _ => problems.push(Problem::new("spec.listeners", sentence::LISTENERS_TOO_MANY)),
    }
    let mut names = BTreeSet::new();
    let mut ports = BTreeSet::new();
    if with_tls && !specs.iter().any(|listener| listener.tls) {
        problems.push(Problem::new("spec.tls", sentence::TLS_WITHOUT_LISTENER));
    }
    let mut listeners = Vec::with_capacity(specs.len());
    for (index, listener) in specs.iter().enumerate() {
        let mut wrong = |field: &str, sentence: &str| {
            problems.push(Problem::new(format!("spec.listeners[{index}].{field}"), sentence));
        };
        if listener.tls && !with_tls {
            wrong("tls", sentence::TLS_LISTENER_WITHOUT_TLS);
        }
        if !is_port_name(&listener.name) {
            wrong("name", sentence::LISTENER_NAME);
        }
        if !names.insert(&listener.name) {
            wrong("name", sentence::LISTENER_NAMES_UNIQUE);
        }
        if listener.from.len() > 32 {
            wrong("from", sentence::PEERS_TOO_MANY);
        }
        let exposure = listener.expose.as_ref().map(|expose| exposure::check(expose, listener.port, &mut wrong));
        let port = match u16::try_from(listener.port) {
            Ok(port) if port >= 1024 && !OWN_PORTS.contains(&port) => port,
            _ => {
                wrong("port", sentence::LISTENER_PORT);
                continue;
            }
        };
        if !ports.insert(port) {
            wrong("port", sentence::LISTENER_PORTS_UNIQUE);
        }
        listeners.push(ListenerPort {
            name: listener.name.clone(),
            protocol: listener.protocol,
            port,
            tls: listener.tls,
            exposure,
            from: listener.from.clone(),
        });
    }
    listeners
}

/// A name that Kubernetes takes for a port, and that is not one of the broker's own.
fn is_port_name(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
        && !matches!(name, "link" | "admin" | "metrics")
}
