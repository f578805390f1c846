//! A `MessageQueue` whose every field was checked.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::ResourceExt;

use crate::{
    BackupPlan, ClusterTls, ImagePullPolicy, InvalidResource, ListenerPort, MessageQueue, MessageQueueSpec,
    NetworkPolicyMode, NetworkPolicySpec, PodTemplate, Problem, Quantity, ReclaimPolicy, RestorePlan, TlsMode,
    UpgradePolicy, listener, sentence, tls,
};

/// A `MessageQueue` whose every field was checked. Made by [`Cluster::check`] only.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The uid of its resource; empty where it comes from a file.
    pub uid: String,
    /// The generation of its resource, where it comes from an API server.
    pub generation: Option<i64>,
    /// How many brokers there are to be: 0 to 99.
    pub replicas: u32,
    /// Mirrors of a queue that says nothing of it: 1 to 7, at most `replicas` unless there are none.
    pub mirrors: u8,
    /// The volume of each broker.
    pub storage: ClusterStorage,
    /// The ports for clients: at least one, names and ports unique.
    pub listeners: Vec<ListenerPort>,
    /// Who may reach the brokers besides those who may use a listener; everybody, where there is none.
    pub network_policy: Option<NetworkPolicySpec>,
    /// The certificate of those that speak TLS; at least one does where there is one.
    pub tls: Option<ClusterTls>,
    /// The pods of the brokers.
    pub pods: PodSettings,
    /// The most memory that messages may take, in bytes.
    pub memory_high_water: Option<u64>,
    /// When brokers that serve may be restarted.
    pub upgrade: UpgradePolicy,
    /// Where it is archived, and when backups are made.
    pub backup: Option<BackupPlan>,
    /// What it begins with.
    pub restore: Option<RestorePlan>,
    /// The operator changes nothing.
    pub paused: bool,
}

/// The volume of each broker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterStorage {
    /// Its size, as it was written.
    pub size: Quantity,
    /// Its size in bytes.
    pub bytes: u64,
    /// The size in bytes up to which it grows by itself; it does not, where there is none.
    pub grow_limit: Option<u64>,
    /// Its class; the default one where there is none.
    pub class: Option<String>,
    /// What becomes of it.
    pub reclaim_policy: ReclaimPolicy,
}

/// The pods of the brokers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PodSettings {
    /// Their image; the operator's own where there is none.
    pub image: Option<String>,
    /// When it is pulled.
    pub pull_policy: Option<ImagePullPolicy>,
    /// Secrets of its registry.
    pub pull_secrets: Vec<String>,
    /// CPU and memory.
    pub resources: Option<ResourceRequirements>,
    /// The label of Kubernetes' nodes that they are spread over.
    pub spread_key: String,
    /// What they have besides.
    pub template: PodTemplate,
}

impl Cluster {
    /// Checks every field of a resource.
    ///
    /// # Errors
    ///
    /// [`InvalidResource`] with all that is wrong.
    pub fn check(resource: &MessageQueue) -> Result<Self, InvalidResource> {
        let spec = &resource.spec;
        let mut problems = Vec::new();
        let name = resource.name_any();
        if !is_cluster_name(&name) {
            problems.push(Problem::new("metadata.name", sentence::NAME));
        }
        let replicas = check_replicas(spec, &mut problems);
        let mirrors = check_mirrors(spec, &mut problems);
        let bytes = check_size("spec.storage.size", &spec.storage.size, 64 << 20, sentence::SIZE, &mut problems);
        let grow_limit = spec.storage.auto_grow.as_ref().map(|grow| {
            check_size("spec.storage.autoGrow.limit", &grow.limit, bytes, sentence::GROW_LIMIT, &mut problems)
        });
        let memory_high_water = spec
            .config
            .as_ref()
            .and_then(|config| config.memory_high_water.as_ref())
            .map(|size| check_size("spec.config.memoryHighWater", size, 16 << 20, sentence::MEMORY, &mut problems));
        let tls = spec.tls.as_ref().and_then(|tls| tls::check(tls, &mut problems));
        let with_tls = spec.tls.as_ref().is_some_and(|tls| tls.mode != TlsMode::Disabled);
        let listeners = match &spec.listeners {
            Some(listeners) => listener::check(listeners, with_tls, &mut problems),
            None => listener::usual(with_tls),
        };
        if spec.image.as_ref().is_some_and(String::is_empty) {
            problems.push(Problem::new("spec.image", sentence::IMAGE));
        }
        let upgrade = UpgradePolicy::check(&spec.upgrade.clone().unwrap_or_default(), &mut problems);
        let backup = spec.backup.as_ref().map(|backup| BackupPlan::check(backup, &mut problems));
        let namespace = resource.namespace().unwrap_or_else(|| "default".to_owned());
        let own = format!("{namespace}/{name}");
        let restore = spec.restore_from.as_ref().map(|restore| RestorePlan::check(restore, &own, &mut problems));
        let template = spec.pod_template.clone().unwrap_or_default();
        check_reserved(&template, &mut problems);
        InvalidResource::unless_empty(problems)?;
        Ok(Self {
            name,
            namespace,
            uid: resource.uid().unwrap_or_default(),
            generation: resource.metadata.generation,
            replicas,
            mirrors,
            storage: ClusterStorage {
                size: spec.storage.size.clone(),
                bytes,
                grow_limit,
                class: spec.storage.storage_class_name.clone(),
                reclaim_policy: spec.storage.reclaim_policy,
            },
            listeners,
            network_policy: Some(spec.network_policy.clone().unwrap_or_default())
                .filter(|policy| policy.mode == NetworkPolicyMode::Managed),
            tls,
            pods: PodSettings {
                image: spec.image.clone(),
                pull_policy: spec.image_pull_policy,
                pull_secrets: spec.image_pull_secrets.iter().map(|secret| secret.name.clone()).collect(),
                resources: spec.resources.clone(),
                spread_key: spec.topology_spread.key.clone(),
                template,
            },
            memory_high_water,
            upgrade,
            backup,
            restore,
            paused: spec.paused,
        })
    }

    /// The folder that it has in its archive.
    #[must_use]
    pub fn archive_folder(&self) -> String {
        format!("{}/{}/{}", self.namespace, self.name, self.uid)
    }

    /// How many brokers may be away at a time without a majority of the cluster's mirrors being lost.
    #[must_use]
    pub fn tolerated_failures(&self) -> u32 {
        // The catalogue is on every broker; a queue with the default number of mirrors is on so many of them.
        let of_catalogue = (self.replicas.saturating_sub(1)) / 2;
        let of_queues = (u32::from(self.mirrors).saturating_sub(1)) / 2;
        of_catalogue.min(of_queues)
    }
}

fn check_replicas(spec: &MessageQueueSpec, problems: &mut Vec<Problem>) -> u32 {
    match u32::try_from(spec.replicas) {
        Ok(replicas @ 0..=99) => replicas,
        _ => {
            problems.push(Problem::new("spec.replicas", sentence::REPLICAS));
            1
        }
    }
}

fn check_mirrors(spec: &MessageQueueSpec, problems: &mut Vec<Problem>) -> u8 {
    let mirrors = spec.mirrors.unwrap_or_else(|| spec.replicas.clamp(1, 3));
    if spec.replicas >= 1 && mirrors > spec.replicas {
        problems.push(Problem::new("spec.mirrors", sentence::MIRRORS_OVER_REPLICAS));
        return 1;
    }
    match u8::try_from(mirrors) {
        Ok(mirrors @ 1..=7) => mirrors,
        _ => {
            problems.push(Problem::new("spec.mirrors", sentence::MIRRORS));
            1
        }
    }
}

pub(crate) fn check_size(field: &str, size: &Quantity, least: u64, sentence: &str, problems: &mut Vec<Problem>) -> u64 {
    match size.bytes() {
        Ok(bytes) if bytes >= least => bytes,
        Ok(_) => {
            problems.push(Problem::new(field, sentence));
            least
        }
        Err(error) => {
            problems.push(Problem::new(field, error.to_string()));
            least
        }
    }
}

fn check_reserved(template: &PodTemplate, problems: &mut Vec<Problem>) {
    let ours = |key: &String| key.starts_with("ferrymq.io/");
    let reserved =
        |labels: &BTreeMap<String, String>| labels.keys().any(|key| ours(key) || key.starts_with("app.kubernetes.io/"));
    if reserved(&template.labels) {
        problems.push(Problem::new("spec.podTemplate.labels", sentence::RESERVED_LABEL));
    }
    if template.annotations.keys().any(ours) {
        problems.push(Problem::new("spec.podTemplate.annotations", sentence::RESERVED_ANNOTATION));
    }
}

/// `^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$`
fn is_cluster_name(name: &str) -> bool {
    name.len() <= 40
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spec: &str) -> Result<Cluster, InvalidResource> {
        let spec: serde_json::Value = serde_json::from_str(spec).unwrap();
        let resource = serde_json::json!({
            "apiVersion": "ferrymq.io/v1alpha1", "kind": "MessageQueue", "metadata": {"name": "orders"}, "spec": spec,
        });
        Cluster::check(&serde_json::from_value(resource).unwrap())
    }

    fn fields(result: Result<Cluster, InvalidResource>) -> Vec<String> {
        result.unwrap_err().problems.into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn three_lines_are_a_cluster_that_survives_the_loss_of_one_broker() {
        let cluster = check(r#"{"storage": {"size": "20Gi"}}"#).unwrap();
        assert_eq!((cluster.replicas, cluster.mirrors, cluster.tolerated_failures()), (3, 3, 1));
        assert_eq!(cluster.storage.bytes, 20 << 30);
        assert_eq!(cluster.listeners.first().map(|listener| listener.port), Some(5672));
    }

    #[test]
    fn a_single_broker_has_one_mirror_and_tolerates_nothing() {
        let cluster = check(r#"{"replicas": 1, "storage": {"size": "1Gi"}}"#).unwrap();
        assert_eq!((cluster.mirrors, cluster.tolerated_failures()), (1, 0));
    }

    #[test]
    fn tls_comes_with_a_listener_of_its_own() {
        let ports = |spec: &str| {
            let cluster = check(spec).unwrap();
            cluster.listeners.iter().map(|listener| (listener.port, listener.tls)).collect::<Vec<_>>()
        };
        assert_eq!(ports(r#"{"storage": {"size": "1Gi"}, "tls": {}}"#), [(5672, false), (5671, true)]);
        assert_eq!(ports(r#"{"storage": {"size": "1Gi"}, "tls": {"mode": "Disabled"}}"#), [(5672, false)]);
        let only = r#"{"storage": {"size": "1Gi"}, "tls": {}, "listeners": [{"name": "s", "protocol": "amqp", "port": 5671, "tls": true}]}"#;
        assert_eq!(ports(only), [(5671, true)]);
    }

    #[test]
    fn tls_that_cannot_be_is_refused_field_by_field() {
        let tls = |tls: &str| fields(check(&format!(r#"{{"storage": {{"size": "1Gi"}}, "tls": {tls}}}"#)));
        assert_eq!(tls(r#"{"mode": "Secret"}"#), ["spec.tls.secretName"]);
        assert_eq!(tls(r#"{"mode": "CertManager"}"#), ["spec.tls.issuerRef"]);
        assert_eq!(tls(r#"{"secretName": "mine"}"#), ["spec.tls.secretName"]);
        assert_eq!(tls(r#"{"names": ["no name"]}"#), ["spec.tls.names"]);
        assert_eq!(tls(r#"{"certificateDuration": "59m"}"#), ["spec.tls.certificateDuration"]);
        let listener = r#"{"storage": {"size": "1Gi"}, "listeners": [{"name": "s", "protocol": "amqp", "port": 5671, "tls": true}]}"#;
        assert_eq!(fields(check(listener)), ["spec.listeners[0].tls"]);
        let none = r#"{"storage": {"size": "1Gi"}, "tls": {}, "listeners": [{"name": "s", "protocol": "amqp", "port": 5671}]}"#;
        assert_eq!(fields(check(none)), ["spec.tls"]);
    }

    #[test]
    fn what_cannot_be_is_refused_field_by_field() {
        assert_eq!(fields(check(r#"{"replicas": 100, "storage": {"size": "1Gi"}}"#)), ["spec.replicas"]);
        assert_eq!(fields(check(r#"{"replicas": -3, "storage": {"size": "1Gi"}}"#)), ["spec.replicas"]);
        assert_eq!(fields(check(r#"{"replicas": 3, "mirrors": 5, "storage": {"size": "1Gi"}}"#)), ["spec.mirrors"]);
        assert_eq!(fields(check(r#"{"storage": {"size": "plenty"}}"#)), ["spec.storage.size"]);
        assert_eq!(fields(check(r#"{"storage": {"size": "1Ki"}}"#)), ["spec.storage.size"]);
        let port = r#"{"storage": {"size": "1Gi"}, "listeners": [{"name": "amqp", "protocol": "amqp", "port": 7400}]}"#;
        assert_eq!(fields(check(port)), ["spec.listeners[0].port"]);
        let labels = r#"{"storage": {"size": "1Gi"}, "podTemplate": {"labels": {"ferrymq.io/cluster": "x"}}}"#;
        assert_eq!(fields(check(labels)), ["spec.podTemplate.labels"]);
    }
}
