//! Services of listeners that are reached from elsewhere: one for all brokers, and one for each where the spec asks for it.

use ferrymq_api::{Cluster, ExposeType, Exposure, ListenerPort, TrafficPolicy};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};

use super::{object_meta, service_port};
use crate::names;

/// The label that a StatefulSet gives each of its pods.
const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";

/// The Services of a cluster that has so many brokers, with their names.
pub(crate) fn exposed_services(cluster: &Cluster, brokers: u32) -> Vec<(String, Service)> {
    let exposed = cluster.listeners.iter().filter_map(|listener| Some((listener, listener.exposure.as_ref()?)));
    let mut services = Vec::new();
    for (listener, exposure) in exposed {
        for (ordinal, name) in names::exposed_services(&cluster.name, &listener.name, exposure.each_broker, brokers) {
            services.push((name.clone(), exposed_service(cluster, listener, exposure, ordinal, name)));
        }
    }
    services
}

fn exposed_service(
    cluster: &Cluster,
    listener: &ListenerPort,
    exposure: &Exposure,
    ordinal: Option<u32>,
    name: String,
) -> Service {
    let mut metadata = object_meta(cluster, name);
    metadata.annotations = Some(exposure.annotations.clone());
    let mut selector = names::selector(&cluster.name);
    selector.extend(ordinal.map(|ordinal| (POD_NAME_LABEL.to_owned(), names::pod(&cluster.name, ordinal))));
    // Of several Services only one can have a certain port of the machines.
    let node_port = exposure.node_port.filter(|_| ordinal.is_none());
    let balanced = exposure.kind == ExposeType::LoadBalancer;
    let ranges = Some(exposure.load_balancer_source_ranges.clone()).filter(|ranges| balanced && !ranges.is_empty());
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(exposure.kind.as_str().to_owned()),
            selector: Some(selector),
            ports: Some(vec![ServicePort {
                node_port: node_port.map(i32::from),
                ..service_port(&listener.name, exposure.port, listener.scheme())
            }]),
            external_traffic_policy: exposure.external_traffic_policy.map(|it| TrafficPolicy::as_str(it).to_owned()),
            load_balancer_class: exposure.load_balancer_class.clone(),
            load_balancer_source_ranges: ranges,
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::cluster;

    #[test]
    fn a_listener_that_is_not_exposed_has_no_service_of_its_own() {
        assert_eq!(exposed_services(&cluster("{storage: {size: 1Gi}}"), 3), []);
    }

    #[test]
    fn each_broker_has_one_that_leads_to_it_alone() {
        let services = exposed_services(
            &cluster(
                "{storage: {size: 1Gi}, listeners: [{name: amqp, protocol: amqp, port: 5672, \
                 expose: {type: NodePort, nodePort: 30672, eachBroker: true, annotations: {a: b}}}]}",
            ),
            2,
        );
        let names: Vec<_> = services.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["orders-ext-amqp", "orders-ext-amqp-0", "orders-ext-amqp-1"]);
        let led_to = |service: &Service| service.spec.clone()?.selector?.get(POD_NAME_LABEL).cloned();
        let led_to: Vec<_> = services.iter().map(|(_, service)| led_to(service)).collect();
        assert_eq!(led_to, [None, Some("orders-0".to_owned()), Some("orders-1".to_owned())]);
        let port = |service: &Service| service.spec.clone()?.ports?.first()?.node_port;
        let ports: Vec<_> = services.iter().map(|(_, service)| port(service)).collect();
        assert_eq!(ports, [Some(30_672), None, None]);
    }

    #[test]
    fn what_the_spec_says_of_a_load_balancer_is_in_its_service() {
        let services = exposed_services(
            &cluster(
                "{storage: {size: 1Gi}, tls: {}, listeners: [{name: amqps, protocol: amqp, port: 5671, tls: true, expose: \
                 {type: LoadBalancer, port: 443, loadBalancerClass: example.com/lb, loadBalancerSourceRanges: [10.0.0.0/8], \
                 externalTrafficPolicy: Local}}]}",
            ),
            3,
        );
        let spec = services.into_iter().next().and_then(|(_, service)| service.spec).unwrap();
        assert_eq!(
            (spec.type_.as_deref(), spec.external_traffic_policy.as_deref()),
            (Some("LoadBalancer"), Some("Local"))
        );
        assert_eq!(spec.load_balancer_class.as_deref(), Some("example.com/lb"));
        assert_eq!(spec.load_balancer_source_ranges, Some(vec!["10.0.0.0/8".to_owned()]));
        let port = spec.ports.unwrap().remove(0);
        assert_eq!((port.port, port.app_protocol.as_deref()), (443, Some("amqps")));
    }
}
