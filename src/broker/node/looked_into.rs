//! What a simulation sees of a node that nobody else does. Only with the feature `simulation`.

use std::hash::{DefaultHasher, Hash, Hasher};

use ferrymq_replication::{Group, Machine, in_memory};

use super::Node;
use crate::catalogue::CATALOGUE_GROUP;

/// A replica, as a simulation sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaState {
    /// The shard; 0 is the catalogue.
    pub shard: u32,
    /// Index of the last entry that was applied.
    pub applied: u64,
    /// Of equal states, this is equal.
    pub digest: u64,
    /// This replica leads.
    pub leading: bool,
    /// It stopped for good.
    pub failed: bool,
}

impl Node {
    /// The replicas on this node.
    #[must_use]
    pub fn replica_states(&self) -> Vec<ReplicaState> {
        let catalogue = self.inner().catalogue.get().map(|open| state_of(CATALOGUE_GROUP, &open.group));
        let shards = self.inner().all_replicas();
        let mut states: Vec<ReplicaState> =
            shards.iter().map(|(shard, replica)| state_of(*shard, &replica.group)).chain(catalogue).collect();
        states.sort_unstable_by_key(|state| state.shard);
        states
    }
}

fn state_of<M: Machine>(shard: u32, group: &Group<M>) -> ReplicaState {
    let view = group.view();
    let mut digest = DefaultHasher::new();
    let state = group.machine().snapshot();
    // One that cannot be written ends its node.
    in_memory(&*state).unwrap_or_default().hash(&mut digest);
    let (digest, leading) = (digest.finish(), view.leadership.leading);
    ReplicaState { shard, applied: view.applied, digest, leading, failed: view.failed }
}
