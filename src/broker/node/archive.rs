//! What this node archives, and tells others of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ferrymq_replication::{Group, task};
use futures::{StreamExt as _, stream};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::Inner;
use crate::{
    archiving::{Archiver, noted},
    catalogue::CatalogueMachine,
    link::{Notice, Tell},
    shard::ShardState,
};

/// How often the groups are looked at in which much comes: soon enough that it is still in memory.
const AT_SPEED: Duration = Duration::from_millis(20);
/// How often all of them are.
const OFTEN: Duration = Duration::from_millis(250);
const SOMETIMES: Duration = Duration::from_secs(5);
/// Groups that are archived at a time, so that memory stays bounded.
const AT_A_TIME: usize = 2;

/// A group that this node has a replica of.
pub(super) enum Held {
    Catalogue(Arc<Group<CatalogueMachine>>),
    Shard(Arc<Group<ShardState>>),
}

impl Held {
    fn id(&self) -> u32 {
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

    fn applied(&self) -> u64 {
        match self {
            Self::Catalogue(group) => group.applied(),
            Self::Shard(group) => group.applied(),
        }
    }

    fn held_from(&self) -> u64 {
        match self {
            Self::Catalogue(group) => group.held_from(),
            Self::Shard(group) => group.held_from(),
        }
    }

    async fn archive(&self, archiver: &Archiver) {
        match self {
            Self::Catalogue(group) => archiver.step(group).await,
            Self::Shard(group) => archiver.step(group).await,
        }
    }

    async fn hold_from(&self, index: u64) -> std::io::Result<()> {
        match self {
            Self::Catalogue(group) => group.hold_from(index).await,
            Self::Shard(group) => group.hold_from(index).await,
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

async fn archive_all(groups: &[Held], archiver: &Archiver) {
    stream::iter(groups).for_each_concurrent(AT_A_TIME, |held| held.archive(archiver)).await;
}

impl Inner {
    fn held(&self) -> Vec<Held> {
        let catalogue = self.catalogue.get().map(|open| Held::Catalogue(open.group.clone()));
        let shards = self.all_replicas().into_iter().map(|(_, replica)| Held::Shard(replica.group.clone()));
        catalogue.into_iter().chain(shards).collect()
    }

    pub(super) fn held_group(&self, id: u32) -> Option<Held> {
        self.held().into_iter().find(|held| held.id() == id)
    }

    /// Archives what this node leads, until it stops.
    pub(super) async fn archive_logs(self: Arc<Self>, archiver: Arc<Archiver>) {
        let mut often = interval(OFTEN);
        often.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut begun = false;
        let mut seldom = Instant::now();
        let mut noted = BTreeMap::new();
        let mut busy = Vec::new();
        while !self.is_stopping() {
            if !busy.is_empty() && timeout(AT_SPEED, often.tick()).await.is_err() {
                archive_all(&busy, &archiver).await;
                continue;
            }
            if busy.is_empty() {
                often.tick().await;
            }
            let Ok(true) = self.catalogue(|catalogue| catalogue.is_formed() && !catalogue.is_restoring()) else {
                continue;
            };
            let all = seldom.elapsed() >= SOMETIMES;
            if all {
                // Also where nothing can be archived.
                seldom = Instant::now();
                self.bound_what_is_held(&archiver).await;
                self.note_archived(&mut noted).await;
            }
            if !begun {
                let cluster_id = self.identity().membership.map(|membership| membership.cluster_id).unwrap_or_default();
                begun = archiver.begin(&cluster_id).await;
                continue;
            }
            let led: Vec<Held> = self.held().into_iter().filter(Held::is_led).collect();
            let ids: Vec<u32> = led.iter().map(Held::id).collect();
            archiver.keep_only(&ids);
            archive_all(&led, &archiver).await;
            archiver.looked_at(&ids);
            archiver.look_whether_it_is_there().await;
            self.tell_archived(archiver.to_tell(all));
            busy = led.into_iter().filter(|held| archiver.is_busy(held.id())).collect();
        }
    }

    /// Notes how far all is archived, for the next start.
    async fn note_archived(&self, noted: &mut BTreeMap<u32, u64>) {
        let now: BTreeMap<u32, u64> = self.held().iter().map(|held| (held.id(), held.held_from())).collect();
        if *noted == now {
            return;
        }
        let (disk, directory, written) = (self.settings.disk.clone(), self.settings.directory.clone(), now.clone());
        match task::blocking(move || noted::write(&*disk, &directory, &written)).await {
            Ok(Ok(())) => *noted = now,
            Ok(Err(error)) => tracing::warn!(%error, "how far the log is archived was not noted"),
            Err(error) => tracing::warn!(%error, "how far the log is archived was not noted"),
        }
    }

    fn tell_archived(&self, shards: Vec<(u32, u64)>) {
        if !shards.is_empty() {
            let told = Tell::Notice(Notice::Archived { shards }).encode();
            self.links.peers().into_iter().for_each(|(_, peer)| peer.tell(told.clone()));
        }
    }

    /// A leader says how far its groups are archived.
    pub(super) fn on_archived(&self, shards: Vec<(u32, u64)>) {
        let Some(this) = self.itself.upgrade().filter(|_| self.archiver.is_some()) else { return };
        self.spawn(async move {
            for (shard, next) in shards {
                if let Some(held) = this.held_group(shard)
                    && let Err(error) = held.hold_from(next).await
                {
                    tracing::warn!(shard, %error, "what is archived was not let go of");
                }
            }
        });
    }

    /// The disk is more important than the archive: where too much waits for it, what there is is let go of.
    async fn bound_what_is_held(&self, archiver: &Archiver) {
        let held = self.held();
        let mut bytes = BTreeMap::new();
        for group in &held {
            bytes.insert(group.id(), group.held_bytes().await);
        }
        while archiver.holds_too_much(&bytes) {
            let Some((most, _)) = bytes.iter().max_by_key(|(_, bytes)| **bytes).map(|(id, bytes)| (*id, *bytes)) else {
                return;
            };
            bytes.remove(&most);
            let Some(group) = held.iter().find(|held| held.id() == most) else { continue };
            tracing::warn!(shard = most, "what was not archived is let go of: the disk has no more room for it");
            if let Err(error) = group.hold_from(group.applied() + 1).await {
                tracing::warn!(shard = most, %error, "what was not archived was not let go of");
            }
        }
    }
}
