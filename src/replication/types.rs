//! Names for openraft's types, which leave this crate nowhere.

use std::fmt;

use bytes::Bytes;
use openraft::type_config::alias;

use crate::state::Saved;

/// A node's number in its cluster.
pub type NodeId = u64;

/// A Raft group's number; 0 is the catalogue.
pub type GroupId = u32;

/// What is replicated: a command, and the time at which its leader took it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Command {
    /// Milliseconds since 1970, by the leader's clock.
    pub(crate) time: u64,
    /// The command, in the machine's own encoding.
    pub(crate) bytes: Bytes,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {}", self.bytes.len(), self.time)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(not(feature = "simulation"))]
use openraft::impls::TokioRuntime as Runtime;

#[cfg(feature = "simulation")]
use crate::simulation::Runtime;

openraft::declare_raft_types!(
    /// What our groups are made of.
    pub(crate) Types:
        D = Command,
        R = Bytes,
        NodeId = u64,
        Node = openraft::EmptyNode,
        Term = u64,
        LeaderId = openraft::vote::leader_id_std::LeaderId<Self::Term, Self::NodeId>,
        AsyncRuntime = Runtime,
);

pub(crate) type Vote = alias::VoteOf<Types>;
pub(crate) type LogId = alias::LogIdOf<Types>;
pub(crate) type Entry = alias::EntryOf<Types>;
pub(crate) type Payload = openraft::EntryPayload<Command, u64, openraft::EmptyNode>;
pub(crate) type Membership = openraft::Membership<u64, openraft::EmptyNode>;
pub(crate) type StoredMembership = alias::StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = alias::SnapshotMetaOf<Types>;
pub(crate) type Snapshot = alias::SnapshotOf<Types, Saved>;

pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(openraft::vote::leader_id_std::CommittedLeaderId::new(term), index)
}

pub(crate) fn vote(term: u64, node: u64, committed: bool) -> Vote {
    if committed { Vote::new_committed(term, node) } else { Vote::new(term, node) }
}
