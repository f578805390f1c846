//! `ferrymq ctl backup inspect`: what a backup is made of.

use ferrymq_archive::{Archive, ArchiveError, Backup, Base, LogPart, ShardCut, Trouble};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{BackupError, times};
use crate::{ctl::Answer, table::Table};

/// Shards that are asked about at a time.
const AT_A_TIME: usize = 4;

/// What a backup has of a shard.
struct Row {
    cut: ShardCut,
    base: Base,
    /// Objects of the log behind the base.
    parts: usize,
    /// When the last entry was taken, where there is one behind the base.
    last_at: Option<u64>,
}

pub(super) async fn run(archive: &Archive, name: &str) -> Result<Answer, BackupError> {
    let backup = known(archive, name).await??;
    let rows = stream::iter(backup.shards.clone()).map(|cut| row(archive, cut)).buffered(AT_A_TIME);
    let rows: Vec<Row> = rows.try_collect().await?;
    Ok(print(archive.cluster(), &backup, &rows).into())
}

/// The backup of this name, or why it cannot be read.
///
/// # Errors
///
/// [`BackupError`]: there is none of that name, or the archive cannot be looked at.
pub(super) async fn known(archive: &Archive, name: &str) -> Result<Result<Backup, ArchiveError>, BackupError> {
    match archive.backup(name).await {
        Err(ArchiveError::Destination(error)) if error.trouble == Trouble::NotFound => {
            let there = archive.backups().await?;
            Err(BackupError::NoBackup { cluster: archive.cluster().to_owned(), name: name.to_owned(), there })
        }
        read => Ok(read),
    }
}

async fn row(archive: &Archive, cut: ShardCut) -> Result<Row, ArchiveError> {
    let base = archive.base(cut.group, &cut.base).await?;
    let (mut parts, mut last_at) = (0, None);
    if base.index < cut.upto {
        let mut firsts = archive.log_from(cut.group, base.log_from).await?;
        firsts.truncate(firsts.partition_point(|first| *first <= cut.upto));
        parts = firsts.len();
        if let Some(first) = firsts.last() {
            last_at = last_before(&archive.log_part(cut.group, *first).await?, cut.upto + 1);
        }
    }
    Ok(Row { cut, base, parts, last_at })
}

/// When the last command of a part was taken that comes before this entry.
pub(super) fn last_before(part: &LogPart, index: u64) -> Option<u64> {
    let count = usize::try_from(index.saturating_sub(part.first)).unwrap_or(usize::MAX).min(part.entries.len());
    part.entries.iter().take(count).rev().find(|entry| entry.command.is_some()).map(|entry| entry.time)
}

fn print(cluster: &str, backup: &Backup, rows: &[Row]) -> String {
    let mut table = Table::new(["SHARD", "BASE", "BASE AS OF", "BYTES", "UP TO", "LOG OBJECTS", "LAST ENTRY"]);
    for Row { cut, base, parts, last_at } in rows {
        table.row([
            if cut.group == 0 { "catalogue".to_owned() } else { cut.group.to_string() },
            base.index.to_string(),
            times::shown(Some(base.complete_at)),
            base.bytes.to_string(),
            cut.upto.to_string(),
            parts.to_string(),
            times::shown(*last_at),
        ]);
    }
    format!(
        "backup {} of {cluster}, made by version {}\nbegan {}, ended {}: {} bytes in the bases of {} shards\n\n{table}",
        backup.name,
        backup.version,
        times::shown(Some(backup.began_at)),
        times::shown(Some(backup.ended_at)),
        backup.bytes,
        backup.shards.len(),
    )
}

#[cfg(test)]
mod tests {
    use ferrymq_archive::Entry;

    use super::*;

    #[test]
    fn what_is_no_command_has_no_time() {
        let entry = |time, command: Option<&'static [u8]>| Entry { term: 1, time, command: command.map(Into::into) };
        let entries = vec![entry(5, Some(b"a")), entry(0, None), entry(9, Some(b"b"))];
        let part = LogPart { group: 1, first: 10, term_before: 1, entries };
        assert_eq!(last_before(&part, 13), Some(9));
        assert_eq!(last_before(&part, 12), Some(5));
        assert_eq!(last_before(&part, u64::MAX), Some(9));
        assert_eq!(last_before(&part, 10), None);
    }
}
