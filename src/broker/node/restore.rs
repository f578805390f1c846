//! A shard of a new cluster, made of what an archive has.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ferrymq_archive::{Archive, ArchiveError, Base, Entry, LogPart, StateDigest};
use ferrymq_replication::{Committed, LogEntry, RefillError};
use futures::StreamExt as _;
use tokio::time::sleep;

use super::Inner;
use crate::{
    archiving::{Replay, ReplayError, digest},
    catalogue::{Command, ShardSource},
    shard::Replica,
};

/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// A shard is not restored.
#[derive(Debug, thiserror::Error)]
enum RestoreError {
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Refill(#[from] RefillError),
    #[error(
        "shard {shard} is not as it was backed up: after entry {index} the digest of its state is {now}, and was {then}"
    )]
    Different { shard: u32, index: u64, now: String, then: String },
    #[error("the state of the shard cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("{0}")]
    Open(String),
    #[error("this broker was not told where the archive is: the cluster has no spec.restoreFrom")]
    NoSource,
}

impl RestoreError {
    /// What was in the archive is not there as it was written: trying again does not help.
    fn is_lost(&self) -> bool {
        match self {
            Self::Replay(ReplayError::Hole { .. }) | Self::Different { .. } => true,
            Self::Replay(ReplayError::Archive(error)) | Self::Archive(error) => error.is_lost(),
            Self::Refill(_) | Self::Read(_) | Self::Open(_) | Self::NoSource => false,
        }
    }
}

impl Inner {
    /// Makes a shard of what the archive has, and tries until that has happened.
    pub(super) fn restore_shard(&self, replica: &Arc<Replica>, source: ShardSource, allow_partial: bool) {
        let Some(this) = self.itself.upgrade() else { return };
        let (shard, replica) = (replica.group.id(), replica.clone());
        self.spawn(async move {
            let mut had_problem = false;
            loop {
                let restored = this.try_restore(&replica, &source, allow_partial).await;
                let done = restored.is_ok();
                let problem = restored.map_or_else(|error| error.to_string(), |left_out| left_out.join("; "));
                if had_problem || !problem.is_empty() {
                    tracing::warn!(shard, problem, done, "not all of the shard is restored");
                    had_problem = true;
                    if let Err(error) = this.change(Command::RestoreProblem { shard, problem }).await {
                        tracing::debug!(shard, %error, "what is the matter with restoring the shard was not told");
                    }
                }
                if done && replica.group.refilled(BTreeSet::from([this.id()])).await.is_ok() {
                    tracing::info!(shard, entries = replica.group.refilled_to(), "the shard is restored");
                    return;
                }
                sleep(AGAIN).await;
            }
        });
    }

    /// Takes all that the archive has of a shard; gives what is left out.
    async fn try_restore(
        &self,
        replica: &Replica,
        source: &ShardSource,
        allow_partial: bool,
    ) -> Result<Vec<String>, RestoreError> {
        let opener = self.settings.restore_from.as_ref().ok_or(RestoreError::NoSource)?;
        let folder = self.catalogue(|catalogue| catalogue.restoration.as_ref().map(|it| it.cluster.clone()));
        let folder = folder.ok().flatten().ok_or(RestoreError::NoSource)?;
        let archive = &opener.open().map_err(RestoreError::Open)?.of(&folder);
        let group = &replica.group;
        if !group.view().voters.is_empty() {
            // It was done before this node was started again.
            return Ok(Vec::new());
        }
        let mut left_out = Vec::new();
        let mut leave_out = |error: RestoreError| {
            if !allow_partial || !error.is_lost() {
                return Err(error);
            }
            left_out.push(error.to_string());
            Ok(())
        };
        let mut replay = Replay::open(archive, group.id(), source).await.map_err(RestoreError::from);
        if let Ok(Replay { base: Some(base), .. }) = &replay
            && group.refilled_to() == 0
            && let Err(error) = restore_base(archive, replica, base).await
        {
            replay = Err(error);
        }
        let replay = match replay {
            Ok(replay) => replay,
            Err(error) => {
                leave_out(error)?;
                // There may be all of the log.
                let without = ShardSource { base: None, ..source.clone() };
                Replay::open(archive, group.id(), &without).await?
            }
        };
        let mut parts = std::pin::pin!(replay.parts(group.refilled_to()));
        while let Some(part) = parts.next().await {
            match part {
                Ok(part) => group.refill(committed(part)).await?,
                Err(error) => leave_out(error.into())?,
            }
        }
        if let Some(then) = &source.digest {
            let (shard, (index, now)) = (group.id(), digest(group).await?);
            if StateDigest::differ(then, &now) {
                leave_out(RestoreError::Different { shard, index, now, then: then.clone() })?;
            }
        }
        Ok(left_out)
    }
}

async fn restore_base(archive: &Archive, replica: &Replica, base: &Base) -> Result<(), RestoreError> {
    let group = &replica.group;
    group.begin_base().await?;
    for number in 0..base.entry_parts {
        group.base_entries(archive.base_entries(base, number).await?).await?;
    }
    let mut at = 0;
    let parts = base.entry_parts..base.entry_parts + base.state_parts;
    let last = parts.end.saturating_sub(1);
    for number in parts {
        let part = archive.base_state(base, number).await?;
        let length = part.len() as u64;
        group.base_state((base.term, base.index), at, part, number == last).await?;
        at += length;
    }
    Ok(())
}

fn committed(part: LogPart) -> Committed {
    let entry = |Entry { term, time, command }| LogEntry { term, time, command };
    Committed {
        first: part.first,
        term_before: part.term_before,
        entries: part.entries.into_iter().map(entry).collect(),
    }
}
