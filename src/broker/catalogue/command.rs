//! How the catalogue changes, and what it answers. These are in logs, by position (postcard): variants are only ever added
//! at the end.

use ferrymq_core::Kind;
use serde::{Deserialize, Serialize};

use super::logs::{Retention, TopicLogSpec};
use super::records::{BindingRecord, ExchangeRecord, NodeRecord, Owner, TopicSpec, UserRecord};
use super::restoration::RestoredFormation;
use super::users::UserSpec;

/// A change.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Command {
    /// The cluster begins, with these nodes numbered from 1. Once; later ones have no effect.
    Form { cluster_id: String, default_mirrors: u8, nodes: Vec<NodeRecord>, users: Vec<(String, UserRecord)> },
    /// A node without data asks to be taken in. One of the same ordinal that was there before is replaced by it.
    AddNode(NodeRecord),
    /// A node has started again: what belonged to its earlier runs is gone.
    NodeStarted { node: u64, run: u64, version: String },
    /// A node that was replaced is in no group any more.
    ForgetNode { node: u64 },
    /// A shard has had a leader.
    ShardBegun { shard: u32 },
    /// An exchange is to be there.
    DeclareExchange { virtual_host: String, name: String, exchange: ExchangeRecord },
    /// An exchange and its bindings go.
    DeleteExchange { virtual_host: String, name: String, if_unused: bool },
    /// A queue is to be there.
    DeclareQueue {
        virtual_host: String,
        name: String,
        durable: bool,
        auto_delete: bool,
        exclusive: Option<Owner>,
        mirrors: Option<u8>,
    },
    /// A queue and its bindings go. Where an id is given, only the queue of that id.
    DeleteQueue { virtual_host: String, name: String, id: Option<u64> },
    /// A queue is bound.
    Bind { virtual_host: String, binding: BindingRecord },
    /// A queue is unbound.
    Unbind { virtual_host: String, binding: BindingRecord },
    /// A user that may do everything is made, or has a new password.
    PutUser { name: String, user: UserRecord },
    /// A topic is to be there; these queues of its earlier declaration were found empty and may go.
    DeclareTopic { topic: TopicSpec, empty: Vec<String> },
    /// A topic goes, or is nobody's from now on.
    RemoveTopic { virtual_host: String, name: String, owner_uid: String, delete: bool },
    /// A queue that is a log is to be there.
    DeclareLog { virtual_host: String, name: String, mirrors: Option<u8>, retention: Retention },
    /// As `DeclareTopic`, of one that has partitions.
    DeclareTopicWithLog { topic: TopicSpec, empty: Vec<String>, log: TopicLogSpec },
    /// A node is to be emptied, or is to have its share again.
    SetDraining { ordinal: u32, draining: bool },
    /// A node that was emptied goes for good.
    RemoveNode { ordinal: u32 },
    /// A user is to be there; with this password, where it is not to keep the one that it has.
    DeclareUser { user: UserSpec, password_hash: Option<String> },
    /// A declared user goes, or is nobody's from now on.
    RemoveUser { name: String, owner_uid: String, delete: bool },
    /// The cluster begins with what another one had. Once, as `Form`.
    FormRestored(Box<RestoredFormation>),
    /// A shard has what it had in the other cluster.
    ShardRestored { shard: u32 },
    /// Why a shard does not have it yet, or what is left out of it; empty where there is no problem any more.
    RestoreProblem { shard: u32, problem: String },
}

/// What a change answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// Done.
    Done,
    /// The node has this number, in this cluster.
    Node { id: u64 },
    /// The queue is there.
    Queue { id: u64, shard: u32, made: bool },
    /// These queues are gone: id and shard.
    Gone { queues: Vec<(u64, u32)> },
    /// Refused; nothing changed.
    Denied(Denied),
}

/// Why a change was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Denied {
    /// It is not there.
    NotFound { kind: KindName, name: String },
    /// It is there, and is something else.
    Inequivalent { kind: KindName, name: String, argument: String, received: String, current: String },
    /// Another session has it for itself.
    Locked { name: String },
    /// It has bindings.
    InUse { kind: KindName, name: String },
    /// Another owner has the topic.
    Owned { owner: String },
    /// It was there before, and the owner did not want it then.
    NotAdopted { kind: KindName, name: String },
    /// The cluster is not formed, or the command is from a newer version.
    Not { reason: String },
    /// A topic has this many partitions, and cannot have fewer.
    FewerPartitions { name: String, partitions: u32 },
    /// The user is one that the cluster was formed with.
    UserOfCluster { name: String },
}

/// What kind of thing a refusal speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KindName {
    VirtualHost,
    Exchange,
    Queue,
}

impl From<KindName> for Kind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::VirtualHost => Self::VirtualHost,
            KindName::Exchange => Self::Exchange,
            KindName::Queue => Self::Queue,
        }
    }
}
