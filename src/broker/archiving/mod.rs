//! What a node writes into its cluster's archive, and reads from another's.
//!
//! ```text
//!   a group that this node leads --committed entries--> archiver.rs --parts of the log--> Archive
//!                                --a state-----------> base.rs -----bases---------------> Archive
//!   a backup: every leader makes a base (job.rs); one node gathers the cuts
//!
//!   Archive --base, parts of the log--> replay.rs --> the catalogue of a new cluster, its shards
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `archiver.rs` | [`Archiver`]: the next part of each group's log, and bases where it needs them |
//! | `place.rs` | how far a group's log is archived, and what waits behind that |
//! | `contact.rs` | whether the archive does what is asked, and when it may be asked again |
//! | `base.rs` | a base, written |
//! | `job.rs`, `cut.rs` | a shard's part in a backup: as a task, and what is made |
//! | `noted.rs` | how far each group's log was archived, noted for the next start |
//! | `figures.rs` | [`ArchiveFigures`]: how it is with the archive |
//! | `prune.rs` | what no backup needs goes |
//! | `replay.rs` | the log of a shard, read back: in order, without a hole, up to the end that is wanted |
//! | `source.rs` | which bases and ends make a cluster as it was |
//!
//! Nothing here waits for clients, and no client for anything here: docs/decisions/0016-what-a-backup-is-made-of.md.

mod archiver;
mod base;
mod contact;
mod cut;
mod figures;
mod job;
pub(crate) mod noted;
mod place;
mod prune;
mod replay;
mod source;

use std::sync::Arc;

use ferrymq_archive::{Archive, ArchiveError};

pub(crate) use archiver::Archiver;
pub(crate) use base::digest;
pub use figures::{ArchiveFigures, BackupState, BackupView, LAG_BOUNDS};
pub(crate) use job::{Jobs, ShardBackup};
pub(crate) use prune::prune;
pub(crate) use replay::{Replay, ReplayError};
pub(crate) use source::{Found, find_in};
pub use source::{RestoreTarget, SourceError};

/// Opens an archive, with what is known of it now: credentials may have changed. Cheap to clone.
#[derive(Clone)]
pub struct ArchiveOpener(Arc<dyn Fn() -> Result<Archive, String> + Send + Sync>);

impl ArchiveOpener {
    /// What opens it; an error is a sentence.
    pub fn new(open: impl Fn() -> Result<Archive, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(open))
    }

    pub(crate) fn open(&self) -> Result<Archive, String> {
        (self.0)()
    }
}

/// Where a node archives what it leads.
#[derive(Clone)]
pub struct Archiving {
    /// The cluster's archive.
    pub archive: ArchiveOpener,
    /// The cluster's name, for people to read.
    pub cluster: String,
    /// Most bytes of the log that are kept on this node's disk because they are not archived yet.
    pub most_held_bytes: u64,
    /// Most bytes that this node gives to the archive a second; as many as there are where there is none.
    pub most_bytes_a_second: Option<u64>,
}

/// Something was not archived.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchivingError {
    /// It cannot be opened.
    #[error("{0}")]
    Open(String),
    /// The archive refused.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// This node's own disk, or its replica.
    #[error("cannot read what is to be archived: {0}")]
    Read(#[from] std::io::Error),
    /// The base that is there cannot be what is to be made.
    #[error("another broker leads shard {0} now")]
    NotLeader(u32),
}
