//! What is kept. These are in logs and snapshots, by position (postcard): fields are only ever added at the end, with a new
//! command or snapshot version.

use std::collections::{BTreeMap, BTreeSet};

use ferrymq_core::ExchangeKind;
use serde::{Deserialize, Serialize};

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeRecord {
    pub(crate) ordinal: u32,
    pub(crate) uuid: String,
    pub(crate) zone: Option<String>,
    pub(crate) version: String,
    /// Counts its starts.
    pub(crate) run: u64,
    /// Another node has taken its place: it is to be taken out of every group, and then forgotten.
    pub(crate) replaced: bool,
}

/// A shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShardRecord {
    /// Replicas that it was made with.
    pub(crate) mirrors: u8,
    /// The voters that it was made with; only they may begin it, and only while `begun` is false.
    pub(crate) first_voters: BTreeSet<u64>,
    /// It has had a leader.
    pub(crate) begun: bool,
    /// The nodes that are to hold it.
    pub(crate) placed_on: BTreeSet<u64>,
    /// The node that leads it when all is well.
    pub(crate) preferred: u64,
}

/// Whose an exclusive queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) node: u64,
    pub(crate) run: u64,
    /// The session's number in that run.
    pub(crate) session: u64,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QueueRecord {
    pub(crate) id: u64,
    pub(crate) shard: u32,
    pub(crate) durable: bool,
    pub(crate) auto_delete: bool,
    pub(crate) exclusive: Option<Owner>,
}

/// An exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExchangeRecord {
    pub(crate) kind: ExchangeKind,
    pub(crate) durable: bool,
    pub(crate) auto_delete: bool,
    pub(crate) internal: bool,
}

/// A binding, by names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct BindingRecord {
    pub(crate) exchange: String,
    pub(crate) queue: String,
    pub(crate) key: String,
}

/// A user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserRecord {
    /// An Argon2id hash in PHC form.
    pub(crate) password_hash: String,
    pub(crate) loopback_only: bool,
}

/// A topic, as it was declared last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TopicRecord {
    pub(crate) spec: TopicSpec,
}

/// A topic, as it is declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TopicSpec {
    pub(crate) virtual_host: String,
    pub(crate) name: String,
    pub(crate) owner_name: String,
    /// Empty where it awaits its owner, after it was restored.
    pub(crate) owner_uid: String,
    pub(crate) adopt: bool,
    pub(crate) kind: ExchangeKind,
    pub(crate) mirrors: Option<u8>,
    pub(crate) bindings: Vec<TopicBindingSpec>,
    pub(crate) queues: Vec<TopicQueueSpec>,
}

/// What is routed to a topic's queues from another exchange.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct TopicBindingSpec {
    pub(crate) source: String,
    pub(crate) key: String,
}

/// A queue of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct TopicQueueSpec {
    pub(crate) name: String,
    pub(crate) keys: Vec<String>,
}

impl TopicSpec {
    /// Every binding that this topic wants.
    pub(crate) fn wanted_bindings(&self) -> BTreeSet<BindingRecord> {
        let mut wanted = BTreeSet::new();
        for queue in &self.queues {
            for key in &queue.keys {
                wanted.insert(BindingRecord {
                    exchange: self.name.clone(),
                    queue: queue.name.clone(),
                    key: key.clone(),
                });
            }
            for binding in &self.bindings {
                wanted.insert(BindingRecord {
                    exchange: binding.source.clone(),
                    queue: queue.name.clone(),
                    key: binding.key.clone(),
                });
            }
        }
        wanted
    }
}

/// All that is kept.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Records {
    /// Empty until the cluster is formed.
    pub(crate) cluster_id: String,
    pub(crate) default_mirrors: u8,
    pub(crate) next_node: u64,
    pub(crate) next_queue: u64,
    pub(crate) next_shard: u32,
    pub(crate) nodes: BTreeMap<u64, NodeRecord>,
    pub(crate) shards: BTreeMap<u32, ShardRecord>,
    pub(crate) virtual_hosts: BTreeMap<String, VirtualHostRecords>,
    pub(crate) users: BTreeMap<String, UserRecord>,
    /// By virtual host and name.
    pub(crate) topics: BTreeMap<(String, String), TopicRecord>,
}

/// What one virtual host has.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct VirtualHostRecords {
    pub(crate) exchanges: BTreeMap<String, ExchangeRecord>,
    pub(crate) queues: BTreeMap<String, QueueRecord>,
    pub(crate) bindings: BTreeSet<BindingRecord>,
}
