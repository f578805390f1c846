//! Backups of the cluster: made by whoever is asked, of what each leader makes of its shards.

use std::{sync::Arc, time::Duration};

use ferrymq_archive::{Backup, Put, ShardCut};
use ferrymq_replication::task;
use futures::{StreamExt as _, stream};
use tokio::time::{Instant, sleep};

use super::{Inner, held::Held};
use crate::{
    archiving::{Archiver, BackupState, BackupView, ShardBackup, prune},
    catalogue::CATALOGUE_GROUP,
    link::{Call, Reply, decode, encode},
};

/// How often a leader is asked how far its base is.
const ASK_EVERY: Duration = Duration::from_millis(250);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A backup of which nothing gets on for so long is given up.
const STALLED: Duration = Duration::from_secs(300);
/// Backups that are remembered.
const MOST_BACKUPS: usize = 64;

const NO_ARCHIVE: &str = "this broker archives nothing: its configuration has no archive";

impl Inner {
    /// How far a shard that this node leads is in a backup; none where it does not lead it, or archives nothing.
    pub(super) fn back_up_here(&self, shard: u32, backup: &str) -> Option<ShardBackup> {
        let archiver = self.archiver.as_ref()?;
        let held = self.held_group(shard).filter(Held::is_led)?;
        Some(match held {
            Held::Catalogue(group) => self.jobs.ask(backup, &group, archiver),
            Held::Shard(group) => self.jobs.ask(backup, &group, archiver),
        })
    }

    /// Makes a backup, and gives how far it is; the same one where it is asked for again.
    pub(super) async fn back_up(self: &Arc<Self>, name: &str, made_for: Option<String>) -> Result<BackupView, String> {
        let archiver = self.archiver.clone().ok_or(NO_ARCHIVE)?;
        // What ended is looked up: it may have been removed since, by another broker too.
        let known = self.backups().get(name).cloned();
        if let Some(view) = known.as_ref().filter(|view| view.state == BackupState::Running) {
            return Ok(view.clone());
        }
        let archive = archiver.archive().map_err(|error| error.to_string())?;
        let there = archive.backups().await.map_err(|error| error.to_string())?;
        if there.iter().any(|known| known == name) {
            let backup = archive.backup(name).await.map_err(|error| error.to_string())?;
            let view = view_of(&backup);
            self.backups().insert(name.to_owned(), view.clone());
            return Ok(view);
        }
        let shards = self.catalogue(|catalogue| catalogue.records.shards.keys().copied().collect::<Vec<_>>());
        let shards = shards.map_err(|refusal| refusal.to_string())?;
        let view = BackupView {
            name: name.to_owned(),
            made_for,
            state: BackupState::Running,
            shards_done: 0,
            shards: u32::try_from(shards.len() + 1).unwrap_or(u32::MAX),
            bytes: 0,
            began_at: task::time_of_day(),
            ended_at: None,
            message: match known.filter(|view| view.state == BackupState::Failed) {
                Some(failed) => format!("it begins anew, as it was given up: {}", failed.message),
                None => "it begins".to_owned(),
            },
        };
        {
            let mut backups = self.backups();
            if backups.len() >= MOST_BACKUPS {
                backups.pop_first();
            }
            backups.insert(name.to_owned(), view.clone());
        }
        let (this, begun) = (self.clone(), view.clone());
        self.spawn(async move {
            let ended = this.gather(&archiver, &begun, shards).await;
            let name = begun.name.clone();
            let view = match ended {
                Ok(backup) => view_of(&backup),
                Err(reason) => {
                    tracing::warn!(backup = name, reason, "a backup was given up");
                    let ended_at = Some(task::time_of_day());
                    let state = BackupState::Failed;
                    let known = this.backups().get(&name).cloned();
                    BackupView { state, ended_at, message: reason, ..known.unwrap_or_else(|| begun.clone()) }
                }
            };
            let mut backups = this.backups();
            if backups.get(&name).is_some_and(|known| known.began_at == begun.began_at) {
                backups.insert(name, view);
            }
        });
        Ok(view)
    }

    /// Removes a backup; what no other needs goes in the background.
    pub(super) async fn remove_backup(self: &Arc<Self>, name: &str) -> Result<(), String> {
        let archiver = self.archiver.clone().ok_or(NO_ARCHIVE)?;
        let archive = archiver.archive().map_err(|error| error.to_string())?;
        archive.remove_backup(name).await.map_err(|error| error.to_string())?;
        self.backups().remove(name);
        self.spawn(async move {
            if let Err(error) = prune(&archive).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "what no backup needs was not removed");
            }
        });
        Ok(())
    }

    /// Gathers the cuts of all shards, the catalogue's last.
    async fn gather(&self, archiver: &Archiver, view: &BackupView, shards: Vec<u32>) -> Result<Backup, String> {
        let mut cuts: Vec<ShardCut> = Vec::new();
        let mut bytes = 0;
        // One of the same name that was made before, and removed, is another one.
        let job = &format!("{} {}", view.name, view.began_at);
        for wave in [shards, vec![CATALOGUE_GROUP]] {
            let mut made = stream::iter(wave)
                .map(|shard| async move { (shard, self.back_up_shard(shard, job).await) })
                .buffer_unordered(usize::MAX);
            while let Some((shard, made)) = made.next().await {
                let (cut, more) = made.map_err(|reason| format!("shard {shard}: {reason}"))?;
                cuts.push(cut);
                bytes += more;
                if let Some(view) = self.backups().get_mut(&view.name) {
                    view.shards_done += 1;
                    view.bytes = bytes;
                    view.message = format!("{} of {} shards are in the archive", view.shards_done, view.shards);
                }
            }
        }
        cuts.sort_by_key(|cut| cut.group);
        let backup = Backup {
            name: view.name.clone(),
            made_for: view.made_for.clone(),
            cluster_id: self.identity().membership.map(|membership| membership.cluster_id).unwrap_or_default(),
            version: self.settings.version.clone(),
            began_at: view.began_at,
            ended_at: task::time_of_day(),
            shards: cuts,
            bytes,
        };
        if self.backups().get(&view.name).is_none_or(|known| known.began_at != view.began_at) {
            return Err("it was removed meanwhile".to_owned());
        }
        let archive = archiver.archive().map_err(|error| error.to_string())?;
        match archive.put_backup(&backup).await.map_err(|error| error.to_string())? {
            Put::Written => Ok(backup),
            // Somebody else made it meanwhile, or an answer was lost.
            Put::Exists => archive.backup(&backup.name).await.map_err(|error| error.to_string()),
        }
    }

    /// Asks whoever leads a shard for its part, until it is there.
    async fn back_up_shard(&self, shard: u32, backup: &str) -> Result<(ShardCut, u64), String> {
        let (mut seen, mut since) = (None, Instant::now());
        loop {
            let now = self.ask_for_shard(shard, backup).await;
            if let Some(cut) = now.as_ref().and_then(|now| now.cut(shard)) {
                return Ok(cut);
            }
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            if since.elapsed() >= STALLED {
                return Err(match seen {
                    Some(ShardBackup::Failed { reason }) => reason,
                    Some(_) => format!("nothing got on for {} s", STALLED.as_secs()),
                    None => "it has no leader".to_owned(),
                });
            }
            sleep(ASK_EVERY).await;
        }
    }

    async fn ask_for_shard(&self, shard: u32, backup: &str) -> Option<ShardBackup> {
        let leader = match shard {
            CATALOGUE_GROUP => self.catalogue.get()?.group.leadership().borrow().leader,
            shard => self.leaders.of(shard),
        }?;
        if leader == self.id() {
            return self.back_up_here(shard, backup);
        }
        let call = encode(&Call::BackUpShard { shard, backup: backup.to_owned() });
        let peer = self.links.peer(leader)?;
        match decode(&peer.call(call, ANSWER_WITHIN).await.ok()?) {
            Ok(Reply::ShardBackup(backup)) => Some(backup),
            _ => None,
        }
    }
}

fn view_of(backup: &Backup) -> BackupView {
    let shards = u32::try_from(backup.shards.len()).unwrap_or(u32::MAX);
    BackupView {
        name: backup.name.clone(),
        made_for: backup.made_for.clone(),
        state: BackupState::Completed,
        shards_done: shards,
        shards,
        bytes: backup.bytes,
        began_at: backup.began_at,
        ended_at: Some(backup.ended_at),
        message: "it is in the archive".to_owned(),
    }
}
