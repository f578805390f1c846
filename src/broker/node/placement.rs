//! Emptying a node: what is asked of it, and how it lets go of the shards that went elsewhere.

use std::{sync::PoisonError, time::Duration};

use ferrymq_core::Refusal;

use super::Inner;
use crate::{
    catalogue::{Answer, CATALOGUE_GROUP, Catalogue, Command, Denied},
    link::{Call, Reply, decode, encode},
    refusal::refusal_of,
};

/// How long a leader may take to say whether this node is a member.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Why a node was not emptied or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementRefusal {
    /// There is no such node.
    #[error("there is no broker {ordinal} in this cluster")]
    NotFound {
        /// The place in the StatefulSet that was named.
        ordinal: u32,
    },
    /// What is there would not fit, or would be lost.
    #[error("{0}")]
    Refused(String),
    /// Not now.
    #[error("{0}")]
    Unavailable(String),
}

impl From<Refusal> for PlacementRefusal {
    fn from(refusal: Refusal) -> Self {
        Self::Unavailable(refusal.to_string())
    }
}

impl Inner {
    /// Empties a node, or lets it have its share again. Returns when that is decided; the shards go one after the other.
    pub(super) async fn drain(&self, ordinal: u32, draining: bool) -> Result<(), PlacementRefusal> {
        if self.catalogue(|catalogue| catalogue.node_of(ordinal))?.is_none() {
            return Err(PlacementRefusal::NotFound { ordinal });
        }
        self.place(Command::SetDraining { ordinal, draining }).await
    }

    /// Takes a node that was emptied out of the cluster, for good.
    pub(super) async fn remove_node(&self, ordinal: u32) -> Result<(), PlacementRefusal> {
        let Some(node) = self.catalogue(|catalogue| catalogue.node_of(ordinal))? else { return Ok(()) };
        let view = self.cluster_view().await.map_err(PlacementRefusal::Unavailable)?;
        let shards = view.shards.iter().filter(|shard| shard.id != CATALOGUE_GROUP);
        let unsure = shards.clone().find(|shard| shard.leader.is_none());
        if let Some(shard) = unsure {
            let reason =
                format!("nobody leads shard {} now, so it is not known whether broker {ordinal} holds it", shard.id);
            return Err(PlacementRefusal::Unavailable(reason));
        }
        let held = shards.filter(|shard| shard.voters.contains(&node)).count();
        if held > 0 {
            let reason =
                format!("broker {ordinal} still holds {held} shards; empty it first, and wait until it holds none");
            return Err(PlacementRefusal::Refused(reason));
        }
        self.place(Command::RemoveNode { ordinal }).await
    }

    async fn place(&self, command: Command) -> Result<(), PlacementRefusal> {
        match self.change(command).await? {
            Answer::Denied(Denied::Not { reason }) => Err(PlacementRefusal::Refused(reason)),
            Answer::Denied(why) => Err(refusal_of(why, "").into()),
            _ => Ok(()),
        }
    }

    /// Lets go of shards that were placed elsewhere, and that this node is no member of any more.
    pub(super) async fn leave_shards(&self) {
        let own = self.id();
        for (shard, replica) in self.all_replicas() {
            let elsewhere = |catalogue: &Catalogue| {
                catalogue.records.shards.get(&shard).is_some_and(|record| !record.placed_on.contains(&own))
            };
            if !matches!(self.catalogue(elsewhere), Ok(true)) || !self.may_leave(shard).await {
                continue;
            }
            self.replicas.write().unwrap_or_else(PoisonError::into_inner).remove(&shard);
            replica.stop().await;
            // Asked again, now that this replica tells nobody any more what it has: what the leader says from now on is not
            // about something that changes.
            if !self.may_leave(shard).await {
                replica.group.close();
                continue;
            }
            match replica.group.forget().await {
                Ok(()) => tracing::info!(shard, "the shard is held by others now, and was removed from here"),
                Err(error) => tracing::warn!(shard, %error, "a shard that is held by others was not removed from here"),
            }
        }
    }

    /// Asks the leader of a shard whether this node is no member of it.
    async fn may_leave(&self, shard: u32) -> bool {
        let leader = self.leaders.of(shard).and_then(|leader| self.links.peer(leader));
        let Some(leader) = leader else { return false };
        let reply = leader.call(encode(&Call::Leave { shard }), ANSWERS_WITHIN).await;
        matches!(reply.map(|reply| decode(&reply)), Ok(Ok(Reply::Left(true))))
    }

    /// Whether a node is no member of a shard that this one leads, and is not to be one.
    pub(super) fn has_left(&self, node: u64, shard: u32) -> Option<bool> {
        let replica = self.replica(shard)?;
        if !replica.group.leadership().borrow().leading {
            return None;
        }
        let Ok(_not_now) = replica.reconfiguring.try_lock() else { return Some(false) };
        let placed = self.catalogue(|catalogue| {
            catalogue.records.shards.get(&shard).is_none_or(|record| record.placed_on.contains(&node))
        });
        Some(matches!(placed, Ok(false)) && replica.group.has_left(node))
    }
}
