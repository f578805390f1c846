//! The brokers' own names: one address each, also while they are not ready, because they become ready by finding each
//! other.

use ferrymq_api::Cluster;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};

use super::{client_service::client_ports, object_meta, service_port};
use crate::names;

pub(crate) fn nodes_service(cluster: &Cluster) -> Service {
    let mut ports = vec![
        service_port("link", names::LINK_PORT, "ferrymq.io/link"),
        service_port("admin", names::ADMIN_PORT, "https"),
        service_port("metrics", names::METRICS_PORT, "http"),
    ];
    ports.extend(client_ports(cluster));
    Service {
        metadata: object_meta(cluster, names::nodes_service(&cluster.name)),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(names::selector(&cluster.name)),
            ports: Some(ports),
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
    fn brokers_have_names_before_they_are_ready() {
        let spec = nodes_service(&cluster("{storage: {size: 1Gi}}")).spec.unwrap();
        assert_eq!((spec.cluster_ip.as_deref(), spec.publish_not_ready_addresses), (Some("None"), Some(true)));
    }
}
