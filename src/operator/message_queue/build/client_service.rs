//! Where clients connect: any broker that is ready.

use ferrymq_api::Cluster;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};

use super::{object_meta, service_port};
use crate::names;

pub(crate) fn client_service(cluster: &Cluster) -> Service {
    Service {
        metadata: object_meta(cluster, names::client_service(&cluster.name)),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(names::selector(&cluster.name)),
            ports: Some(client_ports(cluster)),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// One port for each listener.
pub(super) fn client_ports(cluster: &Cluster) -> Vec<ServicePort> {
    cluster.listeners.iter().map(|listener| service_port(&listener.name, listener.port, listener.scheme())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::cluster;

    #[test]
    fn every_listener_is_a_port_that_says_its_protocol() {
        let service = client_service(&cluster(
            "{storage: {size: 1Gi}, listeners: [{name: amqp, protocol: amqp, port: 5672}, {name: two, protocol: amqp, port: 5673}]}",
        ));
        let ports = service.spec.unwrap().ports.unwrap();
        let ports: Vec<_> = ports.iter().map(|port| (port.port, port.app_protocol.as_deref())).collect();
        assert_eq!(ports, [(5672, Some("amqp")), (5673, Some("amqp"))]);
    }
}
