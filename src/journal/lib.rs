//! One journal a node: segments, group commit, recovery.
//!
//! Many streams append their records to one journal, and each record is on disk before its append is acknowledged. The
//! journal carries bytes; what they mean, and which record is live, is known to its owners.
//!
//! ```text
//!   append ──> waiting ──> writer: one write, one fdatasync ──> done, done, done …
//!                │               │
//!   read ────────┴───────────────┴──> segments  00000000000000000007.journal …
//!                                        ^  │
//!                              new one   │  │  nothing live in it or before it
//!                                        │  v
//!                                      spares   allocated ahead, recycled
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `journal.rs` | [`Journal`]: open, append, read, release, close |
//! | `record.rs` | [`Record`], its [`Payload`], its [`Position`], and its [`RecordHead`] |
//! | `state.rs` | what appends, reads and the writer share under one lock: places, what waits, what is live |
//! | `writer.rs` | the one thread that writes |
//! | `spares.rs` | the thread that allocates files ahead, and clears away dead segments |
//! | `turns.rs` | [`Turns`]: the work of both, for a simulation that has no threads |
//! | `recovery.rs` | what opening does: a torn tail is cut, other damage is refused |
//! | `segment.rs`, `scan.rs` | one segment's file, and how it is gone through |
//! | `index.rs` | the heads of a sealed segment's records, so that opening need not read it |
//! | `format.rs`, `layout.rs` | the bytes on disk, and the names of the files |
//! | `verify.rs` | [`fn@verify`]: looks at a journal offline |
//! | `relocate.rs` | [`fn@relocate`]: moves a journal away as it is |
//! | `disk.rs`, `system_disk.rs`, `read_only_disk.rs` | [`Disk`]: what is asked of a disk, the real one, and that one only read |
//! | `statistics.rs` | what the journal has done, in figures |
//! | `atomic_file.rs` | small files beside the journal that are replaced as a whole |
//!
//! Invariants:
//!
//! - What was acknowledged is found when the journal is opened again, or opening fails.
//! - A batch is written only when the one before is on disk; a segment is made only when all before it are.
//! - Segments are deleted from the oldest on, without gaps: a record outlives all that was appended before it.
//! - A sync that failed is never tried again: from then on every append is refused.
//! - Nobody holds the lock while the disk works, and appends never wait for the disk.

pub mod atomic_file;
mod disk;
mod error;
mod format;
mod index;
mod journal;
mod layout;
mod options;
mod read_only_disk;
mod record;
mod recovery;
mod relocate;
mod scan;
mod segment;
mod spares;
mod state;
mod statistics;
mod system_disk;
mod turns;
mod verify;
mod writer;

pub use disk::{Disk, DiskFile, DiskLock, Hand};
pub use error::{AppendError, OpenError, ReadError};
pub use journal::{Journal, SegmentUse};
pub use options::Options;
pub use read_only_disk::ReadOnlyDisk;
pub use record::{Payload, Position, Record, RecordHead};
pub use recovery::is_journal;
pub use relocate::relocate;
pub use segment::Visit;
pub use statistics::{SYNC_BOUNDS, Statistics, Syncs};
pub use system_disk::SystemDisk;
pub use turns::Turns;
pub use verify::{IndexReport, Report, SegmentReport, TornTail, verify};
