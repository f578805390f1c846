//! The clusters that an archive has something of.

use std::cmp::Reverse;

use ferrymq_archive::{Archive, ArchiveError, ClusterRecord, DestinationError, Trouble};

use super::BackupError;

/// Folders between that of the archive and that of a cluster, at most: namespace, name and uid.
const DEPTH: usize = 3;

/// A cluster in an archive.
#[derive(Debug, Clone)]
pub(in crate::ctl) struct ArchivedCluster {
    pub(in crate::ctl) archive: Archive,
    /// Whose it is, or why that cannot be read.
    pub(super) record: Result<ClusterRecord, String>,
}

impl ArchivedCluster {
    /// What those have in common that had the same namespace and name.
    pub(in crate::ctl) fn name(&self) -> &str {
        name_of(self.archive.cluster())
    }

    fn began_at(&self) -> Option<u64> {
        self.record.as_ref().ok().map(|record| record.began_at)
    }
}

fn name_of(folder: &str) -> &str {
    match folder.rsplit_once('/') {
        Some((name, _)) if name.contains('/') => name,
        _ => folder,
    }
}

/// The clusters in the folder of an archive, or in all of it where it has none: by name, and of one name the newest first.
pub(super) async fn all(archive: &Archive) -> Result<Vec<ArchivedCluster>, BackupError> {
    let top = archive.cluster();
    let mut folders = vec![top.to_owned()];
    let mut found = Vec::new();
    let depth = DEPTH.saturating_sub(top.split('/').filter(|part| !part.is_empty()).count());
    for deeper in (0..=depth).rev() {
        for folder in std::mem::take(&mut folders) {
            let within = folders_in(archive, &folder).await?;
            if within.iter().any(|it| it.strip_prefix(&*folder).is_some_and(|rest| rest == "/shards")) {
                let archive = archive.of(&folder);
                let record = match archive.cluster_record().await {
                    Ok(record) => Ok(record),
                    Err(error) if is_of_object(&error) => Err(error.to_string()),
                    Err(error) => return Err(error.into()),
                };
                found.push(ArchivedCluster { archive, record });
            } else if deeper > 0 {
                folders.extend(within);
            }
        }
    }
    found.sort_by(|one, other| {
        let key = |it: &ArchivedCluster| (it.name().to_owned(), Reverse(it.began_at()));
        key(one).cmp(&key(other))
    });
    Ok(found)
}

/// The one cluster that is meant, and what is to be said where there are others of its name.
pub(in crate::ctl) async fn one(archive: &Archive) -> Result<(ArchivedCluster, Option<String>), BackupError> {
    let mut found = all(archive).await?;
    if found.is_empty() {
        return Err(nothing(archive).await?);
    }
    let mut names: Vec<String> = found.iter().map(|it| it.name().to_owned()).collect();
    names.dedup();
    if names.len() > 1 {
        return Err(BackupError::Several { place: archive.destination().place().to_string(), there: names });
    }
    let others = found.split_off(1);
    let newest = found.remove(0);
    let note = (!others.is_empty()).then(|| {
        let others: Vec<&str> = others.iter().map(|it| it.archive.cluster()).collect();
        format!("{} is the newest of its name; there is also {}", newest.archive.cluster(), others.join(", "))
    });
    Ok((newest, note))
}

/// Whether one of the clusters that may be meant has a backup of this name: the brokers look into all of them.
///
/// # Errors
///
/// [`BackupError`]: none has, or the archive cannot be looked at.
pub(in crate::ctl) async fn has_backup(archive: &Archive, name: &str) -> Result<(), BackupError> {
    let (mut there, mut cluster) = (Vec::new(), archive.cluster().to_owned());
    for found in all(archive).await? {
        there.extend(found.archive.backups().await?);
        found.name().clone_into(&mut cluster);
    }
    if there.iter().any(|known| known == name) {
        return Ok(());
    }
    Err(BackupError::NoBackup { cluster, name: name.to_owned(), there })
}

/// Why there is no cluster in the folder of an archive.
pub(super) async fn nothing(archive: &Archive) -> Result<BackupError, BackupError> {
    let place = archive.destination().place().to_string();
    let mut there: Vec<String> = all(&archive.of("")).await?.iter().map(|it| it.name().to_owned()).collect();
    there.dedup();
    if there.is_empty() {
        return Ok(BackupError::Empty { place });
    }
    Ok(BackupError::NoCluster { place, wanted: archive.cluster().to_owned(), there })
}

async fn folders_in(archive: &Archive, folder: &str) -> Result<Vec<String>, DestinationError> {
    match archive.destination().folders(folder).await {
        Err(error) if error.trouble == Trouble::NotFound => Ok(Vec::new()),
        found => found,
    }
}

/// Something is wrong with this object, and others may be read.
fn is_of_object(error: &ArchiveError) -> bool {
    error.is_lost() || matches!(error, ArchiveError::Object(_))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ferrymq_archive::{Destination, LogPart, Place};

    use super::*;

    async fn archived(directory: &Path, clusters: &[(&str, u64)]) -> Archive {
        let place = Place::Directory { path: directory.to_owned() };
        let archive = Archive::new(Destination::open(place).unwrap(), "", None);
        for (folder, began_at) in clusters {
            let of = archive.of(folder);
            let (cluster_id, name) = ("c".to_owned(), "orders".to_owned());
            of.put_cluster(&ClusterRecord { cluster_id, name, began_at: *began_at }).await.unwrap();
            of.put_log(LogPart { group: 0, first: 0, term_before: 0, entries: Vec::new() }).await.unwrap();
        }
        archive
    }

    #[tokio::test]
    async fn of_one_name_the_newest_is_meant_and_that_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let archive =
            archived(directory.path(), &[("shop/orders/a", 1), ("shop/orders/b", 3), ("shop/orders/c", 2)]).await;
        for wanted in ["", "shop/orders"] {
            let (found, note) = one(&archive.of(wanted)).await.unwrap();
            assert_eq!((found.archive.cluster(), found.name()), ("shop/orders/b", "shop/orders"));
            let told = "shop/orders/b is the newest of its name; there is also shop/orders/c, shop/orders/a";
            assert_eq!(note.as_deref(), Some(told));
        }
        let (found, note) = one(&archive.of("shop/orders/a")).await.unwrap();
        assert_eq!((found.archive.cluster(), note), ("shop/orders/a", None));
    }

    #[tokio::test]
    async fn what_is_not_there_or_not_clear_is_said_with_what_there_is() {
        let directory = tempfile::tempdir().unwrap();
        let archive = archived(directory.path(), &[]).await;
        assert!(matches!(one(&archive).await, Err(BackupError::Empty { .. })));
        let archive = archived(directory.path(), &[("shop/orders/a", 1), ("shop/bills/b", 3)]).await;
        let error = one(&archive).await.unwrap_err().to_string();
        assert!(error.ends_with("has the archives of shop/bills, shop/orders; name one by --cluster"), "{error}");
        let error = one(&archive.of("shop/carts")).await.unwrap_err().to_string();
        assert!(error.ends_with("has no archive of shop/carts; it has those of shop/bills, shop/orders"), "{error}");
    }
}
