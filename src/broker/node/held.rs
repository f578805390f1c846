//! What stays on the disk because it is not archived yet, and its bound.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ferrymq_replication::Group;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Inner;
use crate::{archiving::Archiver, catalogue::CatalogueMachine, shard::ShardState};

/// How often it is looked at whether too much may wait.
const OFTEN: Duration = Duration::from_millis(250);
/// How often all that waits is counted in any case.
const SOMETIMES: Duration = Duration::from_secs(5);

/// A group that this node has a replica of.
pub(super) enum Held {
    Catalogue(Arc<Group<CatalogueMachine>>),
    Shard(Arc<Group<ShardState>>),
}

impl Held {
    pub(super) fn id(&self) -> u32 {
        match self {
            Self::Catalogue(group) => group.id(),
            Self::Shard(group) => group.id(),
        }
    }

    pub(super) fn is_led(&self) -> bool {
        match self {
            Self::Catalogue(group) => group.leadership().borrow().leading,
            Self::Shard(group) => group.leadership().borrow().leading,
        }
    }

    pub(super) fn applied(&self) -> u64 {
        match self {
            Self::Catalogue(group) => group.applied(),
            Self::Shard(group) => group.applied(),
        }
    }

    pub(super) fn held_from(&self) -> u64 {
        match self {
            Self::Catalogue(group) => group.held_from(),
            Self::Shard(group) => group.held_from(),
        }
    }

    pub(super) async fn archive(&self, archiver: &Archiver) {
        match self {
            Self::Catalogue(group) => archiver.step(group).await,
            Self::Shard(group) => archiver.step(group).await,
        }
    }

    pub(super) async fn hold_from(&self, index: u64) -> std::io::Result<()> {
        match self {
            Self::Catalogue(group) => group.hold_from(index).await,
            Self::Shard(group) => group.hold_from(index).await,
        }
    }

    fn appended_bytes(&self) -> u64 {
        match self {
            Self::Catalogue(group) => group.appended_bytes(),
            Self::Shard(group) => group.appended_bytes(),
        }
    }

    async fn held_bytes(&self) -> u64 {
        let held = match self {
            Self::Catalogue(group) => group.held_bytes().await,
            Self::Shard(group) => group.held_bytes().await,
        };
        held.unwrap_or(0)
    }
}

/// What waited when it was counted last.
struct Counted {
    at: Instant,
    /// What stayed, in bytes.
    held: u64,
    /// Bytes that all logs had taken by then.
    appended: u64,
}

impl Counted {
    /// What waits is no more than that, where the logs have taken so much.
    fn most(&self, appended: u64) -> u64 {
        self.held + appended.saturating_sub(self.appended)
    }
}

impl Inner {
    pub(super) fn held(&self) -> Vec<Held> {
        let catalogue = self.catalogue.get().map(|open| Held::Catalogue(open.group.clone()));
        let shards = self.all_replicas().into_iter().map(|(_, replica)| Held::Shard(replica.group.clone()));
        catalogue.into_iter().chain(shards).collect()
    }

    pub(super) fn held_group(&self, id: u32) -> Option<Held> {
        self.held().into_iter().find(|held| held.id() == id)
    }

    /// Bounds what waits to be archived, until this node stops. It waits for nothing that the archive is to answer: one that
    /// hangs would fill the disk.
    pub(super) async fn bound_what_waits(self: Arc<Self>, archiver: Arc<Archiver>) {
        let mut looks = interval(OFTEN);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut counted: Option<Counted> = None;
        while !self.is_stopping() {
            looks.tick().await;
            if !self.is_to_archive() {
                continue;
            }
            let groups = self.held();
            let appended = groups.iter().map(Held::appended_bytes).sum();
            // Counting goes through all that waits: it is done where that may be too much.
            let is_fine = |it: &Counted| it.at.elapsed() < SOMETIMES && archiver.may_hold(it.most(appended));
            if counted.as_ref().is_some_and(is_fine) {
                continue;
            }
            let held = bound(&groups, &archiver).await;
            counted = Some(Counted { at: Instant::now(), held, appended });
        }
    }
}

/// The disk is more important than the archive: where too much waits for it, what there is is let go of, the most first.
/// Gives what waits then, in bytes.
async fn bound(groups: &[Held], archiver: &Archiver) -> u64 {
    let mut bytes = BTreeMap::new();
    for group in groups {
        bytes.insert(group.id(), group.held_bytes().await);
    }
    loop {
        let left = bytes.values().sum();
        archiver.note_held(left);
        let most = bytes.iter().max_by_key(|(_, bytes)| **bytes).map(|(id, _)| *id);
        let Some(most) = most.filter(|_| !archiver.may_hold(left)) else { return left };
        bytes.remove(&most);
        let Some(group) = groups.iter().find(|group| group.id() == most) else { continue };
        tracing::warn!(shard = most, "what was not archived is let go of: the disk has no more room for it");
        if let Err(error) = group.hold_from(group.applied() + 1).await {
            tracing::warn!(shard = most, %error, "what was not archived was not let go of");
        }
    }
}
