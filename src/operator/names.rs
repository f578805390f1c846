//! Names and labels of what the operator owns, and the ports and paths that brokers have in their pods.

use std::collections::BTreeMap;

use ferrymq_api::Cluster;
use k8s_openapi::api::core::v1::Pod;

/// Who wrote a field, for server-side apply.
pub(crate) const FIELD_MANAGER: &str = "ferrymq-operator";

/// The finalizer of a `Topic`.
pub(crate) const TOPIC_FINALIZER: &str = "ferrymq.io/topic";

/// The finalizer of a `User`.
pub(crate) const USER_FINALIZER: &str = "ferrymq.io/user";

/// The finalizer of a `Backup`.
pub(crate) const BACKUP_FINALIZER: &str = "ferrymq.io/backup";

/// On a `Backup` that was made by a schedule: the time that it was due, in seconds since 1970.
pub(crate) const SCHEDULED_LABEL: &str = "ferrymq.io/scheduled";

/// On a `Backup`: it is to be restored to see whether it can be. Another value asks for that again.
pub(crate) const VERIFY_ANNOTATION: &str = "ferrymq.io/verify";

/// The label that names a pod's cluster.
pub(crate) const CLUSTER_LABEL: &str = "ferrymq.io/cluster";

/// Which state of the spec an object was built from.
pub(crate) const INPUT_ANNOTATION: &str = "ferrymq.io/input";

/// On a `MessageQueue`: the plan of restarts that somebody approved.
pub(crate) const APPROVED_ANNOTATION: &str = "ferrymq.io/approved-plan";

/// On the volume claim of a broker that was emptied and taken out of its cluster: that cluster.
pub(crate) const EMPTIED_ANNOTATION: &str = "ferrymq.io/emptied";

/// What an object was last written as.
pub(crate) const WRITTEN_ANNOTATION: &str = "ferrymq.io/written";

/// The port of links between brokers.
pub(crate) const LINK_PORT: u16 = 7400;

/// The port of the admin API.
pub(crate) const ADMIN_PORT: u16 = 7500;

/// The port of the metrics, of brokers and of the operator.
pub(crate) const METRICS_PORT: u16 = 9419;

/// Where a broker finds its configuration.
pub(crate) const CONFIG_DIRECTORY: &str = "/etc/ferrymq";

/// The file of its configuration.
pub(crate) const CONFIG_FILE: &str = "broker.json";

/// Where it finds its token.
pub(crate) const TOKEN_DIRECTORY: &str = "/etc/ferrymq-token";

/// The file of its token.
pub(crate) const TOKEN_FILE: &str = "token";

/// The volume, and the directory in a broker, of its certificate within the cluster.
pub(crate) const INTERNAL_TLS_VOLUME: &str = "internal-tls";
pub(crate) const INTERNAL_TLS_DIRECTORY: &str = "/etc/ferrymq-tls/internal";

/// The volume, and the directory in a broker, of the certificate of its listeners.
pub(crate) const CLIENT_TLS_VOLUME: &str = "client-tls";
pub(crate) const CLIENT_TLS_DIRECTORY: &str = "/etc/ferrymq-tls/clients";

/// The volumes and directories of an archive in a broker.
pub(crate) struct Archived {
    /// What nobody else is to know.
    pub(crate) secrets_volume: &'static str,
    pub(crate) secrets: &'static str,
    /// The archive itself, where it is on a volume.
    pub(crate) volume: &'static str,
    pub(crate) directory: &'static str,
}

/// Where the cluster is archived.
pub(crate) const ARCHIVE: Archived = Archived {
    secrets_volume: "archive-secrets",
    secrets: "/etc/ferrymq-archive",
    volume: "archive",
    directory: "/var/lib/ferrymq-archive",
};

/// What the cluster begins with.
pub(crate) const RESTORE: Archived = Archived {
    secrets_volume: "restore-secrets",
    secrets: "/etc/ferrymq-restore",
    volume: "restore",
    directory: "/var/lib/ferrymq-restore",
};

/// Where it keeps its data.
pub(crate) const DATA_DIRECTORY: &str = "/var/lib/ferrymq";

/// The pod that restores a backup to see whether it can be.
pub(crate) fn verification_pod(backup: &str) -> String {
    format!("{backup}-verify")
}

pub(crate) fn stateful_set(cluster: &str) -> String {
    cluster.to_owned()
}

pub(crate) fn client_service(cluster: &str) -> String {
    cluster.to_owned()
}

/// The Service of a listener that is reached from elsewhere: of all brokers, or of one.
pub(crate) fn exposed_service(cluster: &str, listener: &str, broker: Option<u32>) -> String {
    match broker {
        Some(ordinal) => format!("{cluster}-ext-{listener}-{ordinal}"),
        None => format!("{cluster}-ext-{listener}"),
    }
}

/// All Services of a listener that is reached from elsewhere, each with the broker that it is of.
pub(crate) fn exposed_services(
    cluster: &str,
    listener: &str,
    each_broker: bool,
    brokers: u32,
) -> impl Iterator<Item = (Option<u32>, String)> {
    let each = (0..brokers).filter(move |_| each_broker).map(Some);
    std::iter::once(None).chain(each).map(move |broker| (broker, exposed_service(cluster, listener, broker)))
}

pub(crate) fn network_policy(cluster: &str) -> String {
    cluster.to_owned()
}

pub(crate) fn nodes_service(cluster: &str) -> String {
    format!("{cluster}-nodes")
}

pub(crate) fn config_map(cluster: &str) -> String {
    format!("{cluster}-config")
}

pub(crate) fn default_user_secret(cluster: &str) -> String {
    format!("{cluster}-default-user")
}

/// The Secret of a `User`, for clients.
pub(crate) fn user_secret(cluster: &str, resource: &str) -> String {
    format!("{cluster}-user-{resource}")
}

pub(crate) fn token_secret(cluster: &str) -> String {
    format!("{cluster}-token")
}

/// The Secret of the authority that signs what brokers show each other.
pub(crate) fn internal_authority(cluster: &str) -> String {
    format!("{cluster}-internal-ca")
}

/// The Secret of what brokers show each other.
pub(crate) fn internal_certificate(cluster: &str) -> String {
    format!("{cluster}-internal-tls")
}

/// The Secret of the authority that signs what clients are shown, where the operator makes it.
pub(crate) fn client_authority(cluster: &str) -> String {
    format!("{cluster}-ca")
}

/// The Secret of what clients are shown, where the operator makes it.
pub(crate) fn client_certificate(cluster: &str) -> String {
    format!("{cluster}-tls")
}

/// The Secret of what clients are shown, and the Certificate that it is made for, where cert-manager makes it.
pub(crate) fn issued_certificate(cluster: &str) -> String {
    format!("{cluster}-tls-issued")
}

/// What the certificates are for that brokers show each other, and the operator.
pub(crate) fn internal_name(cluster: &str, namespace: &str) -> String {
    format!("{}.{namespace}.svc", nodes_service(cluster))
}

/// Whether the broker in a pod speaks TLS at its own ports: what the operator made pods for before there was TLS does not.
pub(crate) fn speaks_tls(pod: &Pod) -> bool {
    let mut volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.any(|volume| volume.name == INTERNAL_TLS_VOLUME)
}

pub(crate) fn pod_disruption_budget(cluster: &str) -> String {
    cluster.to_owned()
}

pub(crate) fn service_account(cluster: &str) -> String {
    cluster.to_owned()
}

pub(crate) fn pod(cluster: &str, ordinal: u32) -> String {
    format!("{cluster}-{ordinal}")
}

pub(crate) fn claim(cluster: &str, ordinal: u32) -> String {
    format!("data-{cluster}-{ordinal}")
}

/// The ordinal of a cluster's pod.
pub(crate) fn ordinal(cluster: &str, pod: &str) -> Option<u32> {
    pod.strip_prefix(cluster)?.strip_prefix('-')?.parse().ok()
}

/// The labels by which a cluster's pods are found. They can never change.
pub(crate) fn selector(cluster: &str) -> BTreeMap<String, String> {
    [("app.kubernetes.io/name", "ferrymq"), (CLUSTER_LABEL, cluster)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The same, as text.
pub(crate) fn selector_text(cluster: &str) -> String {
    selector(cluster).into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// The labels of all that a cluster has.
pub(crate) fn labels(cluster: &Cluster) -> BTreeMap<String, String> {
    let mut labels = selector(&cluster.name);
    for (key, value) in [
        ("app.kubernetes.io/instance", cluster.name.as_str()),
        ("app.kubernetes.io/component", "broker"),
        ("app.kubernetes.io/managed-by", "ferrymq"),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_ordinal_is_its_names_end() {
        assert_eq!(ordinal("orders", "orders-12"), Some(12));
        assert_eq!(ordinal("orders", "orders-eu-1"), None);
        assert_eq!(ordinal("orders-eu", "orders-1"), None);
    }
}
