//! `MessageQueue`: a cluster of brokers.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, ResourceRequirements, Toleration};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    BackupSettings, ListenerSpec, MessageQueueStatus, NetworkPolicySpec, Quantity, RestoreSettings, TlsSpec,
    UpgradeSpec, sentence,
};

/// What a cluster of brokers should be.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "ferrymq.io",
    version = "v1alpha1",
    kind = "MessageQueue",
    plural = "messagequeues",
    shortname = "mq",
    category = "messaging",
    namespaced,
    status = "MessageQueueStatus",
    derive = "PartialEq",
    doc = "A cluster of message brokers.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Serving", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Messages", type_ = "integer", json_path = ".status.messages"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')").message(sentence::NAME)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.mirrors) || self.replicas == 0 || self.mirrors <= self.replicas").message(sentence::MIRRORS_OVER_REPLICAS),
    validation = Rule::new("!has(self.listeners) || !self.listeners.exists(l, has(l.tls) && l.tls) || (has(self.tls) && self.tls.mode != 'Disabled')").message(sentence::TLS_LISTENER_WITHOUT_TLS),
    validation = Rule::new("!has(self.tls) || self.tls.mode == 'Disabled' || !has(self.listeners) || self.listeners.exists(l, has(l.tls) && l.tls)").message(sentence::TLS_WITHOUT_LISTENER),
    validation = Rule::new("(!has(self.mirrors) && !has(oldSelf.mirrors)) || (has(self.mirrors) ? self.mirrors : (self.replicas < 3 ? self.replicas : 3)) == (has(oldSelf.mirrors) ? oldSelf.mirrors : (oldSelf.replicas < 3 ? oldSelf.replicas : 3))").message(sentence::MIRRORS_CHANGED),
    validation = Rule::new("!has(self.restoreFrom) || (has(oldSelf.restoreFrom) && self.restoreFrom == oldSelf.restoreFrom)").message(sentence::RESTORE_CHANGED),
)]
pub struct MessageQueueSpec {
    /// How many brokers there are; each has a volume of its own. Three survive the loss of one.
    ///
    /// Where there are to be fewer, those that go are emptied first; that is refused where queues have more mirrors than
    /// there would be brokers. With 0 no broker runs, and the volumes keep what they hold.
    #[serde(default = "three")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 99").message(sentence::REPLICAS))]
    pub replicas: i32,

    /// On how many brokers a queue is kept that says nothing of it itself. A message is confirmed when it is on the disks
    /// of most of them. Default: 3, or replicas where these are fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 7").message(sentence::MIRRORS))]
    pub mirrors: Option<i32>,

    /// The volume of each broker.
    pub storage: StorageSpec,

    /// The image of the brokers. Default: the operator's own. An operator that is upgraded leaves running brokers on the
    /// image that they have; set this to move them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.size() > 0").message(sentence::IMAGE))]
    #[schemars(length(max = 1024))]
    pub image: Option<String>,

    /// When the image is pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,

    /// Secrets of the registry that the image comes from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub image_pull_secrets: Vec<SecretReference>,

    /// CPU and memory of each broker. The limit of memory, where there is one, bounds what a broker takes before its
    /// publishers wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// The ports for clients. Default: AMQP 0-9-1 at port 5672; where `tls` is set, over TLS at port 5671 as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".to_owned()]),
        validation = Rule::new("self.all(l, self.exists_one(m, m.port == l.port))").message(sentence::LISTENER_PORTS_UNIQUE)
    )]
    pub listeners: Option<Vec<ListenerSpec>>,

    /// Who may reach the brokers in the network. Default: clients at the listeners, each from where its `from` says; whoever
    /// reads metrics; and to what the brokers say among themselves only brokers and the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicySpec>,

    /// TLS of the listeners that have `tls: true`. Brokers speak TLS among themselves in any case, with certificates that
    /// the operator makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,

    /// Over what the brokers are spread.
    #[serde(default)]
    pub topology_spread: TopologySpread,

    /// What the pods of the brokers have besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,

    /// When brokers that serve may be restarted, and who has to agree. Default: as soon as every message is safe without
    /// the one that restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<UpgradeSpec>,

    /// Where the cluster is archived, and when backups of it are made. Default: nowhere. Setting it, or another destination,
    /// restarts the brokers one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupSettings>,

    /// What the cluster begins with, where that is what another one had. It can only be said when the `MessageQueue` is made,
    /// and may be taken out once it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_from: Option<RestoreSettings>,

    /// Settings of the brokers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<BrokerConfig>,

    /// While it is true the operator changes nothing of this cluster; its status is kept up.
    #[serde(default)]
    pub paused: bool,
}

fn three() -> i32 {
    3
}

/// The volume of a broker.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)").message(sentence::STORAGE_CLASS_CHANGED),
    validation = Rule::new("!has(self.autoGrow) || !isQuantity(self.autoGrow.limit) || !isQuantity(self.size) || quantity(self.autoGrow.limit).compareTo(quantity(self.size)) >= 0").message(sentence::GROW_LIMIT),
)]
pub struct StorageSpec {
    /// Its size, such as `20Gi`. Where it is raised, volumes grow, if their class lets them (`allowVolumeExpansion`). Where
    /// it is lowered, one broker after the other is emptied and gets a smaller one.
    #[x_kube(
        validation = Rule::new("isQuantity(self) && quantity(self).compareTo(quantity('64Mi')) >= 0").message(sentence::SIZE),
    )]
    pub size: Quantity,

    /// Lets volumes grow by themselves when they are nearly full. Default: they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_grow: Option<AutoGrow>,

    /// Its class. Default: the default one of the Kubernetes cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,

    /// What becomes of it when the `MessageQueue` is deleted. What is retained is found again by a `MessageQueue` of the
    /// same name.
    #[serde(default)]
    pub reclaim_policy: ReclaimPolicy,
}

/// How far volumes grow by themselves.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AutoGrow {
    /// The size that they never outgrow, such as `100Gi`. When a disk is full to four fifths, the volumes of all brokers
    /// grow by half, and what they have grown by stays.
    #[x_kube(validation = Rule::new("isQuantity(self)").message(sentence::GROW_LIMIT))]
    pub limit: Quantity,
}

/// What becomes of a volume when its `MessageQueue` is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum ReclaimPolicy {
    /// It stays.
    #[default]
    Retain,
    /// It goes, with all messages.
    Delete,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImagePullPolicy {
    /// At every start.
    Always,
    /// Where the machine does not have it.
    IfNotPresent,
    /// Not at all.
    Never,
}

impl ImagePullPolicy {
    /// As Kubernetes writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// A Secret of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Over what the brokers are spread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopologySpread {
    /// The label of Kubernetes' nodes that tells these apart.
    #[serde(default = "zone")]
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
}

impl Default for TopologySpread {
    fn default() -> Self {
        Self { key: zone() }
    }
}

fn zone() -> String {
    "topology.kubernetes.io/zone".to_owned()
}

/// What the pods of the brokers have besides.
#[derive(KubeSchema, Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// More labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('app.kubernetes.io/') && !key.startsWith('ferrymq.io/'))").message(sentence::RESERVED_LABEL))]
    pub labels: BTreeMap<String, String>,

    /// More annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('ferrymq.io/'))").message(sentence::RESERVED_ANNOTATION))]
    pub annotations: BTreeMap<String, String>,

    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub node_selector: BTreeMap<String, String>,

    /// Taints of nodes that the brokers put up with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub tolerations: Vec<Toleration>,

    /// Where the brokers may run. Default: preferably no two on one machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,

    /// How important they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub priority_class_name: Option<String>,
}

/// Settings of the brokers.
#[derive(KubeSchema, Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerConfig {
    /// The most memory that a broker may take before its publishers wait. Default: a share of what its
    /// container has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).compareTo(quantity('16Mi')) >= 0").message(sentence::MEMORY))]
    pub memory_high_water: Option<Quantity>,
}
