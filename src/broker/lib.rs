//! A node: what it keeps, whom it talks to, and the port that front ends call.
//!
//! ```text
//!   front end ──> session.rs ──> catalogue/ (where does it go?)
//!                     │
//!                     ▼
//!                 gateway/outbox.rs ── one ordered way to each shard ──> shard/intake.rs (on the leader)
//!                                                                            │ entries
//!   front end <── gateway/consumers.rs <── link/ <── shard/state.rs <── replication (on every mirror)
//! ```
//!
//! | room | what is in it |
//! |---|---|
//! | `node/` | [`Node`]: its life, its parts, and what it does when something changes |
//! | `session.rs` | a client's session |
//! | `access.rs`, `rights.rs` | what a session's user may do, and how that is said |
//! | `gateway/` | this node's clients' side of the shards |
//! | `shard/` | this node's replicas |
//! | `catalogue/` | what there is: nodes, shards, exchanges, queues, users, topics |
//! | `archiving/` | what a node writes into its cluster's archive, and reads from another's |
//! | `link/` | how nodes talk to each other |
//! | `identity.rs` | who a node is |
//! | `counters.rs` | what is counted as messages pass |
//! | `data/` | its data directory: opened, looked at, and set aside where it is damaged |
//!
//! Invariants: a lock of a shard may be held when one of the gateway is taken, never the other way round; what was told to
//! a client as confirmed was applied by its shard; a node never forms a cluster by itself.

mod access;
mod archiving;
mod catalogue;
mod counters;
mod data;
mod gateway;
mod identity;
mod link;
mod node;
mod refusal;
mod rights;
mod session;
mod shard;

pub use archiving::{
    ArchiveFigures, ArchiveOpener, Archiving, BackupState, BackupView, LAG_BOUNDS as ARCHIVE_LAG_BOUNDS, RestoreTarget,
    SourceError,
};
pub use data::{DataProblem, DataReport, FileReport, SetAsideError, VerifyError, verify};
pub use ferrymq_replication::Timing;
pub use identity::IdentityError;
pub use link::{Listener, Network, Stream, Tcp};
#[cfg(feature = "simulation")]
pub use node::ReplicaState;
pub use node::{
    Binding, ClusterView, FirstNode, FirstUser, FormError, Formation, LedShard, MessageCounts, Node, NodeView, Objects,
    Phase, PlacementRefusal, QueueFigures, QueueInTopic, QueueTotals, QueueView, RestorationView, RestoreOrder,
    SafeToStop, Settings, ShardCounts, ShardView, StartError, Statistics, Topic, TopicList, TopicLog, TopicPage,
    TopicRefusal, TopicView, User, UserDeclared, UserPermission, UserRefusal, UserView,
};
pub use session::Session;
