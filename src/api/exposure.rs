//! How a listener is reached from outside: what may be said of it, and the checked form.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{sentence, tls::is_host};

/// What stands for a broker's number in the name of its host.
const ORDINAL: &str = "{ordinal}";

/// How a listener is reached besides the Service of the cluster: by Services of its own.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.nodePort) || self.type != 'ClusterIP'").message(sentence::EXPOSE_NODE_PORT),
    validation = Rule::new("(!has(self.loadBalancerClass) && !has(self.loadBalancerSourceRanges)) || self.type == 'LoadBalancer'").message(sentence::EXPOSE_BALANCER),
    validation = Rule::new("!has(self.externalTrafficPolicy) || self.type != 'ClusterIP'").message(sentence::EXPOSE_TRAFFIC),
    validation = Rule::new("!has(self.brokerHost) || (has(self.eachBroker) && self.eachBroker)").message(sentence::EXPOSE_BROKER_HOST_UNUSED),
)]
pub struct ExposeSpec {
    /// By what kind of Service.
    #[serde(rename = "type")]
    pub kind: ExposeType,

    /// The port of the Service. Default: that of the listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 65535").message(sentence::EXPOSE_PORT))]
    pub port: Option<i32>,

    /// The port of every machine. Default: one that Kubernetes picks, and that stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 65535").message(sentence::EXPOSE_PORT))]
    pub node_port: Option<i32>,

    /// Whether each broker gets a Service of the same kind as well, for clients that are to reach a certain one, or know
    /// several and pick.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub each_broker: bool,

    /// The name that clients outside use, such as `mq.shop.example`; somebody has to make it lead here. It is in the status,
    /// and in the certificate where one is made. Default: the address of the load balancer, or of a machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.])*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')").message(sentence::EXPOSE_HOST))]
    pub host: Option<String>,

    /// The same of each broker, with `{ordinal}` for its number: `mq-{ordinal}.shop.example`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^([a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?-)?[{]ordinal[}](-[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?)?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+$')").message(sentence::EXPOSE_BROKER_HOST))]
    pub broker_host: Option<String>,

    /// Annotations of these Services: by them clouds are told what a load balancer should be, and a DNS which name it has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('ferrymq.io/'))").message(sentence::RESERVED_ANNOTATION))]
    pub annotations: BTreeMap<String, String>,

    /// Who makes the load balancer. Default: whoever does by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub load_balancer_class: Option<String>,

    /// Blocks of addresses that the load balancer lets in, such as `203.0.113.0/24`. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 43)))]
    #[x_kube(validation = Rule::new("self.all(block, block.matches('^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])[.]){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])/([0-9]|[12][0-9]|3[0-2])$') || block.matches('^[0-9a-f:]*:[0-9a-f:]*(([0-9]+[.]){3}[0-9]+)?/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])$'))").message(sentence::EXPOSE_RANGES))]
    pub load_balancer_source_ranges: Vec<String>,

    /// Whether a machine passes on to brokers elsewhere. Default: `Cluster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<TrafficPolicy>,
}

/// A kind of Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub enum ExposeType {
    /// An address within the Kubernetes cluster.
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// A port of every machine.
    NodePort,
    /// A load balancer.
    LoadBalancer,
}

impl ExposeType {
    /// As Kubernetes writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// Whether a machine passes on to brokers elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TrafficPolicy {
    /// It does; brokers see the machine's address instead of the client's.
    Cluster,
    /// It does not: only machines with a broker answer, and brokers see the client's address.
    Local,
}

impl TrafficPolicy {
    /// As Kubernetes writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Local => "Local",
        }
    }
}

/// How a listener is reached besides the Service of the cluster, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exposure {
    /// By what kind of Service.
    pub kind: ExposeType,
    /// The port of the Service.
    pub port: u16,
    /// The port of every machine, where it is not to be any one.
    pub node_port: Option<u16>,
    /// Whether each broker gets a Service as well.
    pub each_broker: bool,
    /// The name that clients outside use.
    pub host: Option<String>,
    /// The same of each broker, with `{ordinal}`.
    broker_host: Option<String>,
    /// Annotations of the Services.
    pub annotations: BTreeMap<String, String>,
    /// Who makes the load balancer.
    pub load_balancer_class: Option<String>,
    /// What the load balancer lets in.
    pub load_balancer_source_ranges: Vec<String>,
    /// Whether a machine passes on.
    pub external_traffic_policy: Option<TrafficPolicy>,
}

impl Exposure {
    /// The name that clients outside use for this broker.
    #[must_use]
    pub fn broker_host(&self, ordinal: u32) -> Option<String> {
        self.broker_host.as_ref().map(|host| host.replace(ORDINAL, &ordinal.to_string()))
    }

    /// All names that clients outside use, as a certificate has them: `*` stands for every broker that may ever be.
    pub fn hosts(&self) -> impl Iterator<Item = String> + '_ {
        let brokers = self.broker_host.as_ref().and_then(|host| host.split_once('.'));
        self.host.clone().into_iter().chain(brokers.map(|(_, domain)| format!("*.{domain}")))
    }
}

/// Checks an exposure of a listener of this port. `wrong` is told which field of the listener is not as it should be.
pub(crate) fn check(spec: &ExposeSpec, listener: i32, wrong: &mut impl FnMut(&str, &str)) -> Exposure {
    let mut port = |field: &str, port: i32| {
        u16::try_from(port).ok().filter(|port| *port > 0).unwrap_or_else(|| {
            wrong(field, sentence::EXPOSE_PORT);
            1
        })
    };
    // Of the listener's own port more is said elsewhere.
    let service = spec.port.map_or_else(|| u16::try_from(listener).unwrap_or(1), |it| port("expose.port", it));
    let node_port = spec.node_port.map(|it| port("expose.nodePort", it));
    let (inside, balanced) = (spec.kind == ExposeType::ClusterIp, spec.kind == ExposeType::LoadBalancer);
    if inside && node_port.is_some() {
        wrong("expose.nodePort", sentence::EXPOSE_NODE_PORT);
    }
    if !balanced && (spec.load_balancer_class.is_some() || !spec.load_balancer_source_ranges.is_empty()) {
        wrong("expose", sentence::EXPOSE_BALANCER);
    }
    if inside && spec.external_traffic_policy.is_some() {
        wrong("expose.externalTrafficPolicy", sentence::EXPOSE_TRAFFIC);
    }
    let ranges = &spec.load_balancer_source_ranges;
    if ranges.len() > 64 || !ranges.iter().all(|block| is_block(block)) {
        wrong("expose.loadBalancerSourceRanges", sentence::EXPOSE_RANGES);
    }
    if spec.host.as_ref().is_some_and(|host| host.starts_with('*') || !is_host(host)) {
        wrong("expose.host", sentence::EXPOSE_HOST);
    }
    if spec.broker_host.as_ref().is_some_and(|host| !is_broker_host(host)) {
        wrong("expose.brokerHost", sentence::EXPOSE_BROKER_HOST);
    }
    if spec.broker_host.is_some() && !spec.each_broker {
        wrong("expose.brokerHost", sentence::EXPOSE_BROKER_HOST_UNUSED);
    }
    if spec.annotations.keys().any(|key| key.starts_with("ferrymq.io/")) {
        wrong("expose.annotations", sentence::RESERVED_ANNOTATION);
    }
    Exposure {
        kind: spec.kind,
        port: service,
        node_port,
        each_broker: spec.each_broker,
        host: spec.host.clone(),
        broker_host: spec.broker_host.clone(),
        annotations: spec.annotations.clone(),
        load_balancer_class: spec.load_balancer_class.clone(),
        load_balancer_source_ranges: ranges.clone(),
        external_traffic_policy: spec.external_traffic_policy,
    }
}

/// A name of a host whose first part has the number of a broker, and which has more parts.
fn is_broker_host(host: &str) -> bool {
    let Some((first, domain)) = host.split_once('.') else { return false };
    let parts: Vec<&str> = first.split(ORDINAL).collect();
    let [before, after] = parts[..] else { return false };
    let apart = (before.is_empty() || before.ends_with('-')) && (after.is_empty() || after.starts_with('-'));
    // The most digits that a broker's number has.
    apart && !domain.starts_with('*') && is_host(domain) && is_host(&first.replace(ORDINAL, "99"))
}

/// A block of addresses, RFC 4632 section 3.1 and RFC 4291 section 2.3.
fn is_block(block: &str) -> bool {
    let Some((address, length)) = block.split_once('/') else { return false };
    let Ok(length) = length.parse::<u8>() else { return false };
    match address.parse() {
        Ok(std::net::IpAddr::V4(_)) => length <= 32,
        Ok(std::net::IpAddr::V6(_)) => length <= 128,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(spec: &str) -> Vec<String> {
        let mut fields = Vec::new();
        check(&serde_json::from_str(spec).unwrap(), 5672, &mut |field, _| fields.push(field.to_owned()));
        fields
    }

    fn exposure(spec: &str) -> Exposure {
        check(&serde_json::from_str(spec).unwrap(), 5672, &mut |field, sentence| panic!("{field}: {sentence}"))
    }

    #[test]
    fn a_listener_is_exposed_at_its_own_port_unless_another_one_is_given() {
        assert_eq!(exposure(r#"{"type": "LoadBalancer"}"#).port, 5672);
        assert_eq!(exposure(r#"{"type": "LoadBalancer", "port": 443}"#).port, 443);
    }

    #[test]
    fn each_broker_has_a_name_and_a_certificate_is_for_all_of_them() {
        let exposure = exposure(
            r#"{"type": "NodePort", "eachBroker": true, "host": "mq.a.example", "brokerHost": "mq-{ordinal}.a.example"}"#,
        );
        assert_eq!(exposure.broker_host(7).as_deref(), Some("mq-7.a.example"));
        assert_eq!(exposure.hosts().collect::<Vec<_>>(), ["mq.a.example", "*.a.example"]);
    }

    #[test]
    fn what_cannot_be_is_named_by_its_field() {
        assert_eq!(wrong(r#"{"type": "ClusterIP", "nodePort": 30000}"#), ["expose.nodePort"]);
        assert_eq!(wrong(r#"{"type": "NodePort", "nodePort": 70000}"#), ["expose.nodePort"]);
        assert_eq!(wrong(r#"{"type": "NodePort", "loadBalancerClass": "x"}"#), ["expose"]);
        assert_eq!(
            wrong(r#"{"type": "ClusterIP", "externalTrafficPolicy": "Local"}"#),
            ["expose.externalTrafficPolicy"]
        );
        for block in ["10.0.0.0", "10.0.0.0/33", "mq/8"] {
            let spec = format!(r#"{{"type": "LoadBalancer", "loadBalancerSourceRanges": ["{block}"]}}"#);
            assert_eq!(wrong(&spec), ["expose.loadBalancerSourceRanges"], "{block}");
        }
        for host in ["mq.a.example", "{ordinal}", "a.{ordinal}.example", "mq{ordinal}.example", "-{ordinal}.example"] {
            let spec = format!(r#"{{"type": "NodePort", "eachBroker": true, "brokerHost": "{host}"}}"#);
            assert_eq!(wrong(&spec), ["expose.brokerHost"], "{host}");
        }
        assert_eq!(wrong(r#"{"type": "NodePort", "brokerHost": "{ordinal}.a.example"}"#), ["expose.brokerHost"]);
        assert_eq!(wrong(r#"{"type": "NodePort", "host": "*.a.example"}"#), ["expose.host"]);
    }
}
