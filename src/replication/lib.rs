//! Shards: Raft groups over one journal.
//!
//! ```text
//!   Group::propose ──> openraft ──> log.rs ──────> the node's one journal (group commit)
//!                         │  ╲
//!                         │   network.rs ──> Transport ──> the same group on other nodes
//!                         ▼
//!                      machine.rs ──> Machine::apply, on every replica, in the same order
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `group.rs` | [`Group`]: one replica of one shard, and all that may be asked of it |
//! | `archived.rs`, `refill.rs` | what an archive takes of a replica, and what a new one is made of from it |
//! | `machine.rs` | [`Machine`]: what is replicated; how entries reach it, how it is saved and restored |
//! | `store.rs` | [`Store`]: the journal, opened and sorted by group; upkeep |
//! | `log.rs`, `log_index.rs`, `kept.rs` | a group's log in the journal, and what the machine needs of it; where all that lies |
//! | `snapshot.rs`, `incoming.rs`, `state.rs` | a machine's state as a file, and as it comes in from another replica; a piece of it in memory at a time |
//! | `page_file.rs` | pages of long tables that nobody looks at, on the disk for as long as the process runs |
//! | `damage.rs` | [`Damage`]: what the disk no longer has as it was written, and who is told |
//! | `verify.rs` | [`verify_snapshots`]: looks at snapshots offline |
//! | `network.rs` | [`Transport`], and the messages between replicas |
//! | `codec.rs` | entries, votes and messages as bytes: our own, versioned |
//! | `disk_reader.rs` | [`DiskReader`]: threads that read much of the disk |
//! | `task.rs` | tasks and the time of day, as tokio has them or as a simulation does |
//! | `simulation/` | what a simulation puts in their place, and promises that are broken on purpose |
//! | `types.rs` | names for openraft's types, which leave this crate nowhere |
//!
//! Invariants: what is confirmed was synced by a majority; openraft's types reach neither disk nor wire; a group that
//! once had a member set is never initialised again by this crate (see [`Group::initialize`]).

mod archived;
mod blocking;
mod codec;
mod damage;
mod disk_reader;
mod group;
mod incoming;
mod kept;
mod log;
mod log_index;
mod machine;
mod network;
mod page_file;
mod refill;
#[cfg(feature = "simulation")]
pub mod simulation;
mod snapshot;
mod state;
mod store;
pub mod task;
mod types;
mod verify;

pub use archived::{Base, Committed, LogEntry};
pub use damage::Damage;
pub use disk_reader::DiskReader;
pub use group::{Group, GroupView, Leadership, Pending, ProposeError, ReconfigureError, Timing};
pub use machine::{Applied, Machine};
pub use network::{Lane, Transport, TransportError};
pub use refill::RefillError;
pub use snapshot::SnapshotError;
pub use state::{State, StateReader, in_memory};
pub use store::{OpenError, Store};
pub use types::{GroupId, NodeId};
pub use verify::{SnapshotReport, verify_snapshots};
