//! The file that brokers start with. It changes only together with the pods' template: a broker that restarts by itself
//! finds the file that its version knows.

use std::collections::BTreeMap;

use ferrymq_admin_api::{Configuration, InternalTls, Listener, Protocol};
use ferrymq_api::{Cluster, ListenerProtocol};
use k8s_openapi::api::core::v1::ConfigMap;

use super::{archives, object_meta};
use crate::{error::ReconcileError, message_queue::plan::Plan, names};

pub(crate) fn config_map(cluster: &Cluster, plan: &Plan) -> Result<ConfigMap, ReconcileError> {
    let file = match plan.kept.as_ref().and_then(|kept| kept.configuration.as_ref()) {
        Some(file) => file.clone(),
        None => serde_json::to_string_pretty(&configuration(cluster))
            .map_err(|source| ReconcileError::Serialize { what: "the brokers' configuration".to_owned(), source })?,
    };
    Ok(ConfigMap {
        metadata: object_meta(cluster, names::config_map(&cluster.name)),
        data: Some(BTreeMap::from([(names::CONFIG_FILE.to_owned(), file)])),
        ..ConfigMap::default()
    })
}

fn configuration(cluster: &Cluster) -> Configuration {
    let name = &cluster.name;
    let domain = format!("{}.{}.svc", names::nodes_service(name), cluster.namespace);
    Configuration {
        cluster: name.clone(),
        data_directory: names::DATA_DIRECTORY.into(),
        peer_address: format!("{name}-{{ordinal}}.{domain}:{}", names::LINK_PORT),
        link_listen: format!("0.0.0.0:{}", names::LINK_PORT),
        admin_listen: format!("0.0.0.0:{}", names::ADMIN_PORT),
        metrics_listen: Some(format!("0.0.0.0:{}", names::METRICS_PORT)),
        token_file: format!("{}/{}", names::TOKEN_DIRECTORY, names::TOKEN_FILE).into(),
        listeners: cluster
            .listeners
            .iter()
            .map(|listener| Listener {
                name: listener.name.clone(),
                protocol: match listener.protocol {
                    ListenerProtocol::Amqp => Protocol::Amqp,
                },
                address: format!("0.0.0.0:{}", listener.port),
                tls: listener.tls.then(|| names::CLIENT_TLS_DIRECTORY.into()),
            })
            .collect(),
        internal_tls: Some(InternalTls {
            directory: names::INTERNAL_TLS_DIRECTORY.into(),
            name: names::internal_name(name, &cluster.namespace),
        }),
        memory_high_water_bytes: cluster.memory_high_water,
        archive: archives::archive(cluster),
        restore_from: archives::restore_from(cluster),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{cluster, plan};

    #[test]
    fn brokers_find_each_other_by_the_names_of_their_pods() {
        let cluster = cluster("{storage: {size: 1Gi}, config: {memoryHighWater: 512Mi}}");
        let map = config_map(&cluster, &plan(&cluster)).unwrap();
        let file: Configuration = serde_json::from_str(&map.data.unwrap()["broker.json"]).unwrap();
        assert_eq!(file.peer_address, "orders-{ordinal}.orders-nodes.shop.svc:7400");
        assert_eq!(file.listeners.first().map(|listener| listener.address.as_str()), Some("0.0.0.0:5672"));
        assert_eq!(file.memory_high_water_bytes, Some(512 << 20));
    }

    #[test]
    fn brokers_speak_tls_among_themselves_in_any_case_and_to_clients_where_the_spec_says_so() {
        let plain = configuration(&cluster("{storage: {size: 1Gi}}"));
        assert_eq!(plain.internal_tls.map(|tls| tls.name), Some("orders-nodes.shop.svc".to_owned()));
        assert!(plain.listeners.iter().all(|listener| listener.tls.is_none()));
        let with_tls = configuration(&cluster("{storage: {size: 1Gi}, tls: {}}"));
        let directories: Vec<_> = with_tls.listeners.into_iter().map(|listener| listener.tls).collect();
        assert_eq!(directories, [None, Some("/etc/ferrymq-tls/clients".into())]);
    }

    #[test]
    fn scaling_changes_nothing_in_it() {
        let (three, five) =
            (cluster("{replicas: 3, storage: {size: 1Gi}}"), cluster("{replicas: 5, storage: {size: 1Gi}}"));
        assert_eq!(configuration(&three), configuration(&five));
    }
}
