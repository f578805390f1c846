//! Who may reach the brokers: clients at the listeners, whoever reads metrics, and to what brokers say among themselves
//! brokers and the operator. It does something where the network of the Kubernetes cluster enforces such policies.

use std::collections::BTreeMap;

use ferrymq_api::{Cluster, NetworkPolicySpec};
use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec as PolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{object_meta, selector};
use crate::names;

/// The label that Kubernetes gives every namespace.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The policy; `operator` is the operator's namespace, where it runs in the Kubernetes cluster.
pub(crate) fn network_policy(cluster: &Cluster, policy: &NetworkPolicySpec, operator: Option<&str>) -> NetworkPolicy {
    // By the names of ports: while a listener gets another one, it is right for brokers with the old one too.
    let listeners = cluster.listeners.iter().map(|listener| rule(&[&listener.name], listener.from.clone()));
    let brokers = NetworkPolicyPeer { pod_selector: Some(selector(cluster)), ..NetworkPolicyPeer::default() };
    let own = [
        rule(&["link", "admin"], vec![brokers]),
        rule(&["admin"], operator.map(in_namespace).into_iter().collect()),
        rule(&["metrics"], policy.metrics_from.clone()),
    ];
    NetworkPolicy {
        metadata: object_meta(cluster, names::network_policy(&cluster.name)),
        spec: Some(PolicySpec {
            pod_selector: Some(selector(cluster)),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(listeners.chain(own).collect()),
            ..PolicySpec::default()
        }),
    }
}

/// These ports for these peers; for everybody, where there are none.
fn rule(ports: &[&str], from: Vec<NetworkPolicyPeer>) -> NetworkPolicyIngressRule {
    let port = |name: &&str| NetworkPolicyPort {
        port: Some(IntOrString::String((*name).to_owned())),
        protocol: Some("TCP".to_owned()),
        ..NetworkPolicyPort::default()
    };
    NetworkPolicyIngressRule {
        ports: Some(ports.iter().map(port).collect()),
        from: Some(from).filter(|from| !from.is_empty()),
    }
}

fn in_namespace(name: &str) -> NetworkPolicyPeer {
    let labels = BTreeMap::from([(NAMESPACE_NAME_LABEL.to_owned(), name.to_owned())]);
    let selector = LabelSelector { match_labels: Some(labels), ..LabelSelector::default() };
    NetworkPolicyPeer { namespace_selector: Some(selector), ..NetworkPolicyPeer::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::cluster;

    /// The ports of each rule, and how many peers it names.
    fn rules(spec: &str, operator: Option<&str>) -> Vec<(Vec<String>, usize)> {
        let cluster = cluster(spec);
        let policy = cluster.network_policy.clone().unwrap();
        let rules = network_policy(&cluster, &policy, operator).spec.unwrap().ingress.unwrap();
        let name = |port: NetworkPolicyPort| match port.port {
            Some(IntOrString::String(name)) => name,
            other => panic!("{other:?}"),
        };
        let rules = rules.into_iter().map(|rule| {
            let ports = rule.ports.unwrap().into_iter().map(name).collect();
            (ports, rule.from.map_or(0, |from| from.len()))
        });
        rules.collect()
    }

    #[test]
    fn without_a_word_clients_come_from_anywhere_and_nobody_else_does() {
        let port = |name: &str| vec![name.to_owned()];
        let own = vec!["link".to_owned(), "admin".to_owned()];
        let expected = vec![(port("amqp"), 0), (own, 1), (port("admin"), 1), (port("metrics"), 0)];
        assert_eq!(rules("{storage: {size: 1Gi}}", Some("ferrymq-system")), expected);
    }

    #[test]
    fn clients_and_readers_of_metrics_come_from_where_the_spec_says() {
        let spec = "{storage: {size: 1Gi}, networkPolicy: {metricsFrom: [{namespaceSelector: {}}]}, listeners: \
                    [{name: amqp, protocol: amqp, port: 5672, from: [{podSelector: {}}, {ipBlock: {cidr: 10.0.0.0/8}}]}]}";
        let peers: Vec<_> = rules(spec, Some("ferrymq-system")).into_iter().map(|(_, peers)| peers).collect();
        assert_eq!(peers, [2, 1, 1, 1]);
    }

    #[test]
    fn an_operator_outside_of_the_cluster_is_not_locked_out() {
        assert_eq!(rules("{storage: {size: 1Gi}}", None)[2].1, 0);
    }
}
