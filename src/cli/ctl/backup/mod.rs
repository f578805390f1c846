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
mod clusters;
mod error;
mod place;
mod times;

pub use arguments::{ArchiveArguments, BackupArguments, BackupCommand};
pub use error::BackupError;
pub use times::Moment;

pub(super) use self::{
    clusters::{ArchivedCluster, one},
    place::configuration,
    times::parse,
};
