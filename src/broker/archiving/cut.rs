//! What a backup has of a shard: a base, and how far the log goes behind it.

use ferrymq_archive::Base;
use ferrymq_replication::{Group, Machine};

use super::{Archiver, ArchivingError, base};

impl Archiver {
    /// Makes a base for a backup. Gives it when the log is archived to where the backup ends in this group, with the index of
    /// that entry and the digest of the state after it.
    pub(super) async fn base_for_backup<M: Machine>(
        &self,
        group: &Group<M>,
        progress: impl Fn(u64),
    ) -> Result<(Base, u64, String), ArchivingError> {
        let id = group.id();
        let log_from = self.archived(group, |_| true).await?;
        let (base, digest) = match self.unchanged(group, log_from).await? {
            Some(base) => (base, None),
            None => {
                let behind = base::Behind { log_from: Some(log_from), gap: None };
                let (base, digest) = base::write(&self.archive()?, group, behind, progress).await?;
                // Where nothing came meanwhile, the state is that of the base.
                let digest = (base.complete_from == base.index).then_some(digest);
                (base, digest)
            }
        };
        let (upto, digest) = match digest {
            Some(digest) => (base.index, digest),
            None => base::digest(group).await?,
        };
        self.archived(group, |next| next > upto).await?;
        if let Some(place) = self.places().get_mut(&id) {
            place.begin_anew(base.bytes);
        }
        Ok((base, upto, digest))
    }

    /// The last base, where nothing came since.
    async fn unchanged<M: Machine>(&self, group: &Group<M>, log_ends: u64) -> Result<Option<Base>, ArchivingError> {
        if group.applied() >= log_ends {
            return Ok(None);
        }
        let archive = self.archive()?;
        let Some(last) = archive.bases(group.id()).await?.pop() else { return Ok(None) };
        let base = archive.base(group.id(), &last).await?;
        Ok(Some(base).filter(|base| base.index + 1 == log_ends && base.is_whole(log_ends)))
    }

    /// Waits until a group that this node leads is archived so far, and gives how far it is.
    async fn archived<M: Machine>(
        &self,
        group: &Group<M>,
        enough: impl Fn(u64) -> bool,
    ) -> Result<u64, ArchivingError> {
        let (mut changes, mut leadership) = (self.changes(), group.leadership());
        let not_leader = || ArchivingError::NotLeader(group.id());
        loop {
            changes.borrow_and_update();
            if !leadership.borrow_and_update().leading {
                return Err(not_leader());
            }
            if let Some(next) = self.next_of(group.id()).filter(|next| enough(*next)) {
                return Ok(next);
            }
            let changed = tokio::select! {
                changed = changes.changed() => changed,
                changed = leadership.changed() => changed,
            };
            changed.map_err(|_| not_leader())?;
        }
    }
}
