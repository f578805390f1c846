//! What cert-manager is asked for: a `Certificate` of `cert-manager.io/v1`.

use ferrymq_api::{CertificateSource, Cluster};
use serde_json::{Value, json};

use super::object_meta;
use crate::{message_queue::certificates::client_names, names};

/// The request for a certificate of the listeners; none where it does not come from cert-manager.
pub(crate) fn issued_certificate(cluster: &Cluster) -> Option<Value> {
    let CertificateSource::CertManager { issuer, life } = &cluster.tls.as_ref()?.source else { return None };
    let name = names::issued_certificate(&cluster.name);
    let (addresses, hosts): (Vec<_>, Vec<_>) =
        client_names(cluster).into_iter().partition(|name| name.parse::<std::net::IpAddr>().is_ok());
    Some(json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": object_meta(cluster, name.clone()),
        "spec": {
            "secretName": name,
            "issuerRef": {"name": issuer.name, "kind": issuer.kind, "group": issuer.group},
            "dnsNames": hosts,
            "ipAddresses": addresses,
            "duration": format!("{}s", life.as_secs()),
            // Two thirds of its life, as of every certificate here.
            "renewBefore": format!("{}s", life.as_secs() / 3),
            "usages": ["digital signature", "server auth"],
            "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::cluster;

    #[test]
    fn cert_manager_is_asked_for_all_names() {
        let asked = issued_certificate(&cluster(
            "{storage: {size: 1Gi}, tls: {mode: CertManager, issuerRef: {name: corporate, kind: ClusterIssuer}, \
             names: [mq.shop.example, 10.0.0.7]}}",
        ))
        .unwrap();
        assert_eq!(asked.pointer("/spec/issuerRef/kind"), Some(&json!("ClusterIssuer")));
        assert_eq!(asked.pointer("/spec/issuerRef/group"), Some(&json!("cert-manager.io")));
        let hosts = asked.pointer("/spec/dnsNames").and_then(Value::as_array).unwrap();
        for host in ["mq.shop.example", "orders", "orders.shop.svc", "*.orders-nodes.shop.svc.cluster.local"] {
            assert!(hosts.contains(&json!(host)), "{host} is missing");
        }
        assert_eq!(asked.pointer("/spec/ipAddresses"), Some(&json!(["10.0.0.7"])));
        assert_eq!(issued_certificate(&cluster("{storage: {size: 1Gi}, tls: {}}")), None);
    }
}
