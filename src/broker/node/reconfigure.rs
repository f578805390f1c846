//! Who the members of a group are: those that the catalogue wants, once they have what the others have.

use std::{collections::BTreeSet, time::Duration};

use ferrymq_replication::NodeId;
use tokio::time::timeout;

use super::Inner;
use crate::{
    catalogue::{Command, ShardRecord},
    shard::Replica,
};

/// How long the members of the catalogue may take to be changed before that is tried anew.
const RECONFIGURE_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a shard's replica is filled before the next shard has its turn. It goes on being filled then, and nobody
/// waits for ever behind one whose new node is gone again.
const TURN_TO_FILL: Duration = Duration::from_secs(60);
/// The most voters of the catalogue.
const CATALOGUE_VOTERS: usize = 7;

impl Inner {
    /// Makes the members of the groups that this node leads those that are wanted.
    pub(super) fn keep_members(&self) {
        let Some(this) = self.itself.upgrade() else { return };
        for (shard, record) in self.shard_records() {
            let Some(replica) = self.replica(shard) else { continue };
            if !replica.group.leadership().borrow().leading {
                continue;
            }
            if !record.begun {
                let this = this.clone();
                self.spawn(async move {
                    if let Err(error) = this.change(Command::ShardBegun { shard }).await {
                        tracing::debug!(shard, %error, "not noted yet that the shard has begun");
                    }
                });
            }
            let view = replica.group.view();
            let is_whole = view.voters == record.placed_on && view.in_sync == record.placed_on;
            if is_whole && matches!(self.catalogue(|catalogue| catalogue.source_of(shard).is_some()), Ok(true)) {
                let this = this.clone();
                self.spawn(async move {
                    if let Err(error) = this.change(Command::ShardRestored { shard }).await {
                        tracing::debug!(shard, %error, "not noted yet that the shard is restored");
                    }
                });
            }
            if view.voters != record.placed_on {
                let this = this.clone();
                self.spawn(async move { this.reconfigure_shard(shard, &replica).await });
            }
        }
        if let Some(open) = self.catalogue.get()
            && open.group.leadership().borrow().leading
        {
            let (wanted, view) = (self.wanted_catalogue_voters(), open.group.view());
            if !wanted.is_empty() && view.voters != wanted {
                self.spawn(async move { this.reconfigure_catalogue(wanted).await });
            } else if self.has_replaced_nodes() {
                self.spawn(async move { this.forget_replaced().await });
            }
        }
    }

    /// Makes the members of a shard that this node leads those that are wanted, in the shard's turn.
    async fn reconfigure_shard(&self, shard: u32, replica: &Replica) {
        let Ok(_one_at_a_time) = replica.reconfiguring.try_lock() else { return };
        let Ok(_turn) = self.turns_to_fill.acquire().await else { return };
        // As it is wanted now, and not when the turn was asked for.
        let Some(ShardRecord { placed_on, preferred, .. }) = self.shard_record(shard) else { return };
        let mut wanted = placed_on.clone();
        // Who leads goes last: it gives leadership away first.
        let goes = wanted.insert(self.id());
        if goes && replica.group.view().voters == wanted {
            return replica.group.transfer_leadership(preferred).await;
        }
        let is_wanted = || self.shard_record(shard).is_some_and(|now| now.placed_on == placed_on);
        let reconfigured = self.while_wanted(is_wanted, replica.group.reconfigure(&wanted));
        match timeout(TURN_TO_FILL, reconfigured).await {
            Ok(Some(Ok(()))) => tracing::info!(shard, ?wanted, "the shard's members are these"),
            Ok(Some(Err(error))) => tracing::debug!(shard, %error, "the shard's members are not as wanted yet"),
            Ok(None) => tracing::info!(shard, ?wanted, "other members are wanted by now"),
            Err(_) => {
                tracing::info!(shard, ?wanted, "the shard is still being filled; others have their turn meanwhile")
            }
        }
    }

    fn shard_record(&self, shard: u32) -> Option<ShardRecord> {
        self.catalogue(|catalogue| catalogue.records.shards.get(&shard).cloned()).ok().flatten()
    }

    fn wanted_catalogue_voters(&self) -> BTreeSet<NodeId> {
        let wanted = self.catalogue(|catalogue| {
            let nodes = catalogue.records.nodes.iter().filter(|(_, node)| !node.replaced);
            nodes.map(|(id, _)| *id).take(CATALOGUE_VOTERS).collect()
        });
        wanted.unwrap_or_default()
    }

    async fn reconfigure_catalogue(&self, wanted: BTreeSet<NodeId>) {
        let Some(open) = self.catalogue.get() else { return };
        let Ok(_one_at_a_time) = open.reconfiguring.try_lock() else { return };
        let is_wanted = || self.wanted_catalogue_voters() == wanted;
        let reconfigured = self.while_wanted(is_wanted, open.group.reconfigure(&wanted));
        match timeout(RECONFIGURE_TIMEOUT, reconfigured).await {
            Ok(Some(Ok(()))) => tracing::info!(?wanted, "the catalogue's members are these"),
            Ok(Some(Err(error))) => tracing::debug!(%error, "the catalogue's members are not as wanted yet"),
            Ok(None) => tracing::info!(?wanted, "other members of the catalogue are wanted by now"),
            Err(_) => tracing::warn!("the catalogue's members were not changed in time"),
        }
    }

    /// Changes members for as long as they are wanted: one that is gone again before it was filled never keeps the one in
    /// its place waiting.
    async fn while_wanted<F: Future>(&self, is_wanted: impl Fn() -> bool, change: F) -> Option<F::Output> {
        let mut applied = self.catalogue.get()?.applied.clone();
        let unwanted = async {
            while is_wanted() {
                if applied.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            outcome = change => Some(outcome),
            () = unwanted => None,
        }
    }

    fn has_replaced_nodes(&self) -> bool {
        matches!(self.catalogue(|catalogue| catalogue.records.nodes.values().any(|node| node.replaced)), Ok(true))
    }

    /// Forgets nodes that were replaced, and vote nowhere any more.
    async fn forget_replaced(&self) {
        let Some(open) = self.catalogue.get() else { return };
        let Ok(_one_at_a_time) = open.reconfiguring.try_lock() else { return };
        let Ok(view) = self.cluster_view().await else { return };
        let replaced = self.catalogue(|catalogue| {
            let nodes = catalogue.records.nodes.iter().filter(|(_, node)| node.replaced);
            nodes.map(|(id, _)| *id).collect::<Vec<_>>()
        });
        for node in replaced.unwrap_or_default() {
            let votes = view.shards.iter().any(|shard| shard.leader.is_none() || shard.voters.contains(&node));
            if !votes && let Err(error) = self.change(Command::ForgetNode { node }).await {
                tracing::debug!(node, %error, "a node that was replaced is not forgotten yet");
            }
        }
    }
}
