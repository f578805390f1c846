//! A topic as it is declared, and as it is.

use std::num::{NonZeroU32, NonZeroUsize};

use serde::{Deserialize, Serialize};

/// `PUT /admin/v1/topic`: the exchange, bindings and queues of one topic, all at once. Queues and bindings that an earlier
/// declaration of the same owner had and this one has not are taken away: bindings always, queues only where they are empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicDeclaration {
    /// Its virtual host.
    pub virtual_host: String,
    /// Its name, and its exchange's.
    pub name: String,
    /// Who declares it.
    pub owner: Owner,
    /// What to do with what is there already and has no owner.
    pub adoption: Adoption,
    /// `topic`, `direct` or `fanout`.
    pub exchange_type: String,
    /// Mirrors of its queues; the cluster's default where there is none.
    pub mirrors: Option<u8>,
    /// What is routed to its exchange's queues from other exchanges.
    #[serde(default)]
    pub bindings: Vec<TopicBinding>,
    /// Its queues.
    #[serde(default)]
    pub queues: Vec<QueueInTopic>,
    /// What it keeps of what is published to it; none where only its queues keep messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<TopicLog>,
}

/// What a topic keeps of what is published to it, in partitions. These can be added, and never taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicLog {
    /// Logs that share its messages, by their routing keys: queues named `<topic>-0` and so on.
    pub partitions: NonZeroU32,
    /// The oldest that a message may be, in milliseconds; no limit where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_milliseconds: Option<u64>,
    /// The most bytes of one partition; no limit where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
}

/// Who declares a topic or a user. Each has one owner; the second one is refused with [`Reason::Owned`](crate::Reason::Owned).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// Namespace and name of the resource, for people to read: `shop/order-created`.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What to do with an exchange or queue that is there already, and is no topic's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Adoption {
    /// Take it where it is what was declared, else refuse.
    #[default]
    AdoptIfCompatible,
    /// Refuse.
    Refuse,
}

/// Messages of `source` that match `routing_key` go to all of the topic's queues.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicBinding {
    /// The other exchange.
    pub source: String,
    /// The key or pattern.
    pub routing_key: String,
}

/// A queue of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueInTopic {
    /// Its name.
    pub name: String,
    /// The keys or patterns by which it is bound to the topic's exchange.
    pub routing_keys: Vec<String>,
}

/// `DELETE /admin/v1/topic`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicRemoval {
    /// Its virtual host.
    pub virtual_host: String,
    /// Its name.
    pub name: String,
    /// Who declared it; another's topic is left alone, and the answer is success.
    pub owner_uid: String,
    /// `true`: exchange, bindings, queues and messages go. `false`: all of it stays, and has no owner any more.
    pub delete: bool,
    /// Refuse with [`Reason::NotEmpty`](crate::Reason::NotEmpty) where a queue has messages.
    pub only_if_empty: bool,
}

/// `GET /admin/v1/topics`: all topics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicList {
    /// Another one after a topic was declared, removed, or changed by a protocol; not after messages came or went.
    pub version: String,
    /// The topics as they are, in the order of their virtual hosts and names.
    pub topics: Vec<TopicView>,
    /// There are more after the last of them.
    #[serde(default)]
    pub more: bool,
}

/// Which topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicName {
    /// Its virtual host.
    pub virtual_host: String,
    /// Its name.
    pub name: String,
}

/// `POST /admin/v1/topics/after`: wants to know as soon as topics are not what they were.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicsAfter {
    /// The version that is known already. Empty: none, and the answer comes at once.
    pub version: String,
    /// The list begins after this topic, whether that is there or not. Default: with the first one.
    #[serde(default)]
    pub after: Option<TopicName>,
    /// The most topics that are listed, at least one. Default: all.
    #[serde(default)]
    pub limit: Option<NonZeroUsize>,
}

/// One topic as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicView {
    /// What was declared last.
    pub declaration: TopicDeclaration,
    /// Whether exchange, bindings and queues are what was declared.
    pub in_sync: bool,
    /// What differs, as a sentence; empty where nothing does.
    pub drift: String,
    /// Every shard of its queues has a leader and all of its mirrors.
    pub replicated: bool,
    /// Its queues as they are.
    pub queues: Vec<QueueView>,
    /// Its partitions as they are.
    #[serde(default)]
    pub partitions: Vec<QueueView>,
}

/// A queue as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueView {
    /// Its name.
    pub name: String,
    /// Its messages, handed out ones too.
    pub messages: u64,
    /// Its consumers.
    pub consumers: u32,
    /// The node that leads its shard.
    pub leader: Option<u64>,
}
