//! `Topic`: an exchange, its bindings and its queues.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Quantity, TimeSpan, TopicStatus, sentence};

/// What a topic should be.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "ferrymq.io",
    version = "v1alpha1",
    kind = "Topic",
    plural = "topics",
    shortname = "mqt",
    category = "messaging",
    namespaced,
    status = "TopicStatus",
    derive = "PartialEq",
    doc = "A topic of a cluster of message brokers: its exchange, and the queues bound to it.",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "Partitions", type_ = "integer", json_path = ".spec.partitions"),
    printcolumn(name = "Mirrors", type_ = "integer", json_path = ".status.mirrors"),
    printcolumn(name = "Messages", type_ = "integer", json_path = ".status.messages"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    validation = Rule::new("has(self.spec.name) || !self.metadata.name.startsWith('amq.')").message(sentence::TOPIC_NAME)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.name) == has(oldSelf.name) && (!has(self.name) || self.name == oldSelf.name)").message(sentence::TOPIC_NAME_CHANGED),
    validation = Rule::new("!has(self.retention) || self.partitions > 0").message(sentence::RETENTION_WITHOUT_PARTITIONS),
    validation = Rule::new("has(self.mirrors) == has(oldSelf.mirrors) && (!has(self.mirrors) || self.mirrors == oldSelf.mirrors)").message(sentence::TOPIC_MIRRORS_CHANGED),
)]
pub struct TopicSpec {
    /// The `MessageQueue` of the same namespace that it lives in.
    #[schemars(length(max = 253))]
    #[x_kube(
        validation = Rule::new("self.size() > 0").message(sentence::TOPIC_CLUSTER),
        validation = Rule::new("self == oldSelf").message(sentence::TOPIC_CLUSTER_CHANGED),
    )]
    pub cluster: String,

    /// Its name, and its exchange's. Default: the name of this resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    #[x_kube(validation = Rule::new("self.size() > 0 && !self.startsWith('amq.') && !self.matches('[\\\\x00\\\\n\\\\r]')").message(sentence::TOPIC_NAME))]
    pub name: Option<String>,

    /// Its virtual host.
    #[serde(default = "root")]
    #[schemars(length(max = 255))]
    #[x_kube(
        validation = Rule::new("self.size() > 0 && !self.matches('[\\\\x00\\\\n\\\\r]')").message(sentence::VIRTUAL_HOST),
        validation = Rule::new("self == oldSelf").message(sentence::VIRTUAL_HOST_CHANGED),
    )]
    pub virtual_host: String,

    /// On how many brokers its queues are kept. Default: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 7").message(sentence::MIRRORS))]
    pub mirrors: Option<i32>,

    /// How its exchange routes.
    #[serde(default, rename = "type")]
    #[x_kube(validation = Rule::new("self == oldSelf").message(sentence::TYPE_CHANGED))]
    pub exchange_type: ExchangeType,

    /// Logs that keep what is published to it, and share it by its routing keys; each can be read as a stream, as
    /// `<name>-0` and so on. Default: none, and only its queues keep messages. May be raised, which gives keys other partitions
    /// from then on.
    #[serde(default)]
    #[x_kube(
        validation = Rule::new("self >= 0 && self <= 1024").message(sentence::PARTITIONS),
        validation = Rule::new("self >= oldSelf").message(sentence::PARTITIONS_LOWERED),
    )]
    pub partitions: i32,

    /// How long and how much its partitions keep. Default: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,

    /// What comes to its queues from other exchanges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub bindings: Vec<TopicBindingSpec>,

    /// Its queues.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub queues: Vec<TopicQueueSpec>,

    /// What becomes of exchange, bindings, queues and messages when this resource is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// What to do with an exchange or queue of this name that is there already.
    #[serde(default)]
    pub adoption: AdoptionPolicy,
}

fn root() -> String {
    "/".to_owned()
}

/// How an exchange routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExchangeType {
    /// To the queues whose pattern (`*` one word, `#` any number) matches the routing key.
    #[default]
    Topic,
    /// To the queues whose key equals the routing key.
    Direct,
    /// To every queue.
    Fanout,
}

impl ExchangeType {
    /// As the broker writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Direct => "direct",
            Self::Fanout => "fanout",
        }
    }
}

/// How long and how much of each partition is kept; what is over either goes, oldest first.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.age) || has(self.bytes)").message(sentence::RETENTION_EMPTY))]
pub struct Retention {
    /// The oldest that a message may be, such as `7d` or `12h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?$') && self.matches('[1-9]')").message(sentence::RETENTION_AGE))]
    pub age: Option<TimeSpan>,

    /// The most bytes of one partition, such as `10Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).compareTo(quantity('1Mi')) >= 0").message(sentence::RETENTION_BYTES))]
    pub bytes: Option<Quantity>,
}

/// Messages of another exchange that come to all of the topic's queues.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicBindingSpec {
    /// The other exchange.
    #[schemars(length(max = 255))]
    #[x_kube(validation = Rule::new("self.size() > 0 && !self.matches('[\\\\x00\\\\n\\\\r]')").message(sentence::BINDING_SOURCE))]
    pub source: String,

    /// The key or pattern.
    #[serde(default)]
    #[schemars(length(max = 255))]
    pub routing_key: String,
}

/// A queue of a topic.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicQueueSpec {
    /// Its name.
    #[schemars(length(max = 255))]
    #[x_kube(validation = Rule::new("self.size() > 0 && !self.startsWith('amq.') && !self.matches('[\\\\x00\\\\n\\\\r]')").message(sentence::QUEUE_NAME))]
    pub name: String,

    /// The keys or patterns of the messages that it gets. Default: all messages of a topic or fanout exchange; of a direct
    /// one those whose routing key is the queue's name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 255)))]
    pub routing_keys: Vec<String>,
}

/// What becomes of a topic when its resource is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// All of it stays in the broker, and belongs to nobody.
    #[default]
    Retain,
    /// All of it goes, with its messages.
    Delete,
    /// All of it goes as soon as its queues are empty; until then the resource stays, and says so.
    DeleteIfEmpty,
}

/// What to do with what is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum AdoptionPolicy {
    /// Take it where it is what was declared, else refuse.
    #[default]
    AdoptIfCompatible,
    /// Refuse.
    Refuse,
}
