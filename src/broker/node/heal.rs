//! What follows damage: this node is filled by the others, and then done with what was set aside.

use std::sync::{PoisonError, atomic::Ordering};

use ferrymq_replication::task;

use super::{Inner, ShardView};
use crate::data::Directory;

impl Inner {
    /// After damage: once this node has all that it is to have, what was set aside is not needed any more.
    pub(super) async fn heal(&self) {
        let damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(damage) = damage.filter(|_| self.was_ready.load(Ordering::Relaxed)) else { return };
        let own = self.id();
        let Ok(view) = self.cluster_view().await else { return };
        let has_own = |shard: &&ShardView| shard.placed_on.contains(&own);
        if !view.shards.iter().filter(has_own).all(|shard| shard.in_sync.contains(&own)) {
            return;
        }
        let directory = Directory { disk: self.settings.disk.clone(), path: self.settings.directory.clone() };
        match task::blocking(move || directory.heal(damage)).await {
            Ok(Ok(())) => *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = None,
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "data that was set aside is not cleared away yet"
                );
            }
            Err(error) => tracing::warn!(%error, "data that was set aside is not cleared away yet"),
        }
    }
}
