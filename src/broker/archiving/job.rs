//! A shard's part in a backup, made by the node that leads the shard.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferrymq_archive::ShardCut;
use ferrymq_replication::{Group, Machine, task};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::Archiver;

/// Jobs that are remembered.
const MOST_JOBS: usize = 4096;

/// How far a shard is in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ShardBackup {
    /// So many bytes of its base are written.
    Running { bytes: u64 },
    /// It is in the archive.
    Done { base: String, upto: u64, digest: String, bytes: u64 },
    /// It was given up.
    Failed { reason: String },
}

impl ShardBackup {
    /// The cut, once it is made, and bytes.
    pub(crate) fn cut(&self, group: u32) -> Option<(ShardCut, u64)> {
        match self {
            Self::Done { base, upto, digest, bytes } => {
                Some((ShardCut { group, base: base.clone(), upto: *upto, digest: digest.clone() }, *bytes))
            }
            _ => None,
        }
    }
}

/// One, as it is now.
type Job = Arc<Mutex<ShardBackup>>;

/// What this node makes, or made, for backups: by backup and shard.
pub(crate) struct Jobs {
    known: Mutex<BTreeMap<(String, u32), Job>>,
    /// One at a time: clients are served meanwhile.
    turn: Arc<Semaphore>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { known: Mutex::default(), turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Jobs {
    /// How far a shard is in a backup, which is begun where it is not, or was given up before.
    pub(crate) fn ask<M: Machine>(&self, backup: &str, group: &Arc<Group<M>>, archiver: &Arc<Archiver>) -> ShardBackup {
        let key = (backup.to_owned(), group.id());
        let mut known = lock(&self.known);
        if let Some(job) = known.get(&key) {
            let now = lock(job).clone();
            if matches!(now, ShardBackup::Failed { .. }) {
                known.remove(&key);
            }
            return now;
        }
        if known.len() >= MOST_JOBS {
            known.pop_first();
        }
        let begun = ShardBackup::Running { bytes: 0 };
        let job = Arc::new(Mutex::new(begun.clone()));
        known.insert(key, job.clone());
        drop(known);
        let (group, archiver, turn) = (group.clone(), archiver.clone(), self.turn.clone());
        task::spawn(async move {
            let Ok(_turn) = turn.acquire().await else { return };
            let progress = |bytes| *lock(&job) = ShardBackup::Running { bytes };
            let made = archiver.base_for_backup(&group, progress).await;
            *lock(&job) = match made {
                Ok((base, upto, digest)) => ShardBackup::Done { upto, digest, bytes: base.bytes, base: base.id },
                Err(error) => ShardBackup::Failed { reason: error.to_string() },
            };
        });
        begun
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
