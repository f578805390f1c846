//! What no backup needs any more goes from the archive.

use std::collections::BTreeSet;

use ferrymq_archive::{Archive, ArchiveError, Base};
use futures::{StreamExt as _, TryStreamExt as _, stream};

/// Objects that are removed at a time.
const AT_A_TIME: usize = 8;

/// Removes what is older than what the oldest backup needs. Where there is no backup, all stays.
pub(crate) async fn prune(archive: &Archive) -> Result<(), ArchiveError> {
    let mut needed: BTreeSet<(u32, String)> = BTreeSet::new();
    for name in archive.backups().await? {
        needed.extend(archive.backup(&name).await?.shards.into_iter().map(|cut| (cut.group, cut.base)));
    }
    for group in archive.groups().await? {
        let of_group = needed.range((group, String::new())..).take_while(|(other, _)| *other == group);
        let kept: BTreeSet<&String> = of_group.map(|(_, base)| base).collect();
        let Some(oldest) = kept.first() else { continue };
        let log_from = archive.base(group, oldest).await?.log_from;
        // Of those at the same index one may be of a backup that is being made.
        for base in archive.bases(group).await?.iter().filter(|base| Base::index_in(base) < Base::index_in(oldest)) {
            archive.remove_base(group, base).await?;
        }
        let firsts = archive.log_from(group, 0).await?;
        let old = firsts.into_iter().take_while(|first| *first < log_from);
        stream::iter(old).map(|first| archive.remove_log(group, first)).buffered(AT_A_TIME).try_collect::<()>().await?;
    }
    Ok(())
}
