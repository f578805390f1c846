//! What a topic is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a topic is.
#[derive(KubeSchema, Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    /// The generation of the resource that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// On how many brokers its queues are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirrors: Option<i32>,

    /// Messages in its queues, handed out ones too, and in its partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<i64>,

    /// Consumers of its queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumers: Option<i32>,

    /// Its queues.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub queues: Vec<TopicQueueStatus>,

    /// Its partitions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub partitions: Vec<TopicQueueStatus>,

    /// What holds of it, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
}

/// A queue of a topic, or a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopicQueueStatus {
    /// Its name.
    pub name: String,
    /// Its messages, handed out ones too.
    pub messages: i64,
    /// Its consumers.
    pub consumers: i32,
    /// The broker that leads it, by its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<i64>,
}
