//! `ferrymq ctl backup`: a look into an archive, without a broker.
//!
//! | file | what is in it |
//! |---|---|
//! | `arguments.rs`, `place.rs` | what is typed; which archive that is |
//! | `clusters.rs` | the clusters in an archive |
//! | `list.rs`, `reach.rs` | their backups; to which moments they can be restored |
//! | `inspect.rs` | what a backup is made of |
//! | `verify.rs`, `checker.rs`, `joined.rs`, `findings.rs` | every object is read; the log goes on without a hole; what is wrong |
//! | `times.rs` | moments, as they are typed and shown |
//!
//! Invariants: nothing in the archive is changed; one or two objects are in memory at a time.

mod arguments;
mod checker;
mod clusters;
mod error;
mod findings;
mod inspect;
mod joined;
mod list;
mod place;
mod reach;
mod times;
mod verify;

use ferrymq_archive::Archive;

use super::Answer;

pub use arguments::{ArchiveArguments, BackupArguments, BackupCommand};
pub use error::BackupError;
pub use times::Moment;

pub(super) use self::{
    clusters::{ArchivedCluster, has_backup, one},
    place::configuration,
    times::parse,
};

/// Does what was typed, and gives what is to be printed.
///
/// # Errors
///
/// [`BackupError`].
pub(super) async fn run(arguments: &BackupArguments) -> Result<Answer, BackupError> {
    match &arguments.command {
        BackupCommand::List { archive } => list::run(&ferrymq_server::open_archive(&configuration(archive)?)?).await,
        BackupCommand::Inspect { backup, archive } => inspect::run(&only(archive).await?, backup).await,
        BackupCommand::Verify { backup, archive, restore_in: _ } => {
            verify::run(only(archive).await?, backup.as_deref()).await
        }
    }
}

/// The archive of the one cluster that is meant.
async fn only(arguments: &ArchiveArguments) -> Result<Archive, BackupError> {
    let archive = ferrymq_server::open_archive(&configuration(arguments)?)?;
    let (cluster, note) = one(&archive).await?;
    if let Some(note) = note {
        eprintln!("backup: {note}");
    }
    Ok(cluster.archive)
}
