//! What a backup is made of, and where it lies: an object store, or a directory.
//!
//! ```text
//!   the entries of a shard's log --pack--> LogPart --seal--> an object, whole --put--> Destination
//!                                                                                         |
//!   the same entries            <--unpack-- LogPart <--open-- checked, or refused <--get--+
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `archive.rs` | [`Archive`]: the objects of one cluster, by what they are |
//! | `base.rs` | [`Base`]: the state of a shard at an index |
//! | `backup.rs` | [`Backup`]: a base and an index for each shard |
//! | `digest.rs` | [`StateDigest`]: by which a state is known again |
//! | `log_part.rs` | [`LogPart`]: entries of a shard's log, one after the other |
//! | `sealed.rs` | an object as it lies there: compressed, encrypted where there is a key, and checked |
//! | `sealer.rs` | the one thread that makes such objects, and reads them |
//! | `key.rs` | [`Key`]: what objects are encrypted with |
//! | `destination.rs` | [`Destination`]: writes once, reads, lists; what went wrong, in words |
//! | `place.rs` | [`Place`]: which store or directory |
//!
//! Invariants: an object is written once, and never changed; what is read was written by an archive, under that name, and is
//! whole, or it is refused with its name; keys and passwords are in no message and no `Debug`. Why it is made so is in
//! `docs/decisions/0016-what-a-backup-is-made-of.md`.

mod archive;
mod backup;
mod base;
mod destination;
mod digest;
mod key;
mod log_part;
mod place;
mod sealed;
mod sealer;

pub use archive::{Archive, ArchiveError};
pub use backup::{Backup, ClusterRecord, ShardCut};
pub use base::{Base, Gap, NeededEntry};
pub use destination::{Destination, DestinationError, Put, Trouble};
pub use digest::StateDigest;
pub use key::{Key, KeyError};
pub use log_part::{Entry, LogPart};
pub use place::{Place, Secret};
pub use sealed::{MOST_BYTES, ObjectError, Problem};
