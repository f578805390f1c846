//! What this node archives, and tells others of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ferrymq_replication::task;
use futures::{StreamExt as _, stream};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{Inner, held::Held};
use crate::{
    archiving::{Archiver, noted},
    link::{Notice, Tell},
};

/// How often the groups are looked at in which much comes: soon enough that it is still in memory.
const AT_SPEED: Duration = Duration::from_millis(20);
/// How often all of them are.
const OFTEN: Duration = Duration::from_millis(250);
const SOMETIMES: Duration = Duration::from_secs(5);
/// Groups that are archived at a time, so that memory stays bounded.
const AT_A_TIME: usize = 2;

async fn archive_all(groups: &[Held], archiver: &Archiver) {
    stream::iter(groups).for_each_concurrent(AT_A_TIME, |held| held.archive(archiver)).await;
}

impl Inner {
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
            if !self.is_to_archive() {
                continue;
            }
            let all = seldom.elapsed() >= SOMETIMES;
            if all {
                seldom = Instant::now();
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

    /// A cluster is formed, and all is there that it was to begin with.
    pub(super) fn is_to_archive(&self) -> bool {
        matches!(self.catalogue(|catalogue| catalogue.is_formed() && !catalogue.is_restoring()), Ok(true))
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
}
