//! A backup, restored to see whether it can be: what is made is compared with what was backed up, and goes again.

use std::{path::Path, time::Instant};

use ferrymq_admin_api::RestoreOrder;

use super::{RestoreError, directory::NewDirectory, last_of, make};
use crate::{
    ctl::{
        Answer,
        backup::{self, ArchiveArguments},
    },
    dev::Place,
};

/// Restores a backup in a directory, and gives what is to be printed. The broker that restores compares the digest of each
/// shard's state with the backup's.
///
/// # Errors
///
/// [`RestoreError`]; what was made is removed then, as it is in the end.
pub(in crate::ctl) async fn run(
    arguments: &ArchiveArguments,
    backup: &str,
    directory: &Path,
) -> Result<Answer, RestoreError> {
    let began = Instant::now();
    let source = backup::configuration(arguments)?;
    let archive = ferrymq_server::open_archive(&source).map_err(backup::BackupError::from)?;
    let (cluster, _) = backup::one(&archive).await?;
    backup::has_backup(&archive, backup).await?;
    // What was made goes when this is dropped.
    let _directory = NewDirectory::take(directory)?;
    let name = last_of(cluster.name()).to_owned();
    let place = Place::take(directory, &name)?;
    let order = RestoreOrder { backup: Some(backup.to_owned()), ..RestoreOrder::default() };
    let made = make(order, source, &cluster, &place, &name).await?;
    let (shards, took) = (made.shards, began.elapsed().as_secs_f64());
    Ok(format!(
        "backup {backup} of {} can be restored: all of its {shards} shards are as they were backed up ({took:.1} s)\n",
        made.folder
    )
    .into())
}
