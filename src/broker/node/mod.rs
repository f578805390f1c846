//! A node: what it is made of, and how its parts reach each other.
//!
//! | file | what is in it |
//! |---|---|
//! | `start.rs` | [`Node`]: starting and stopping |
//! | `inner.rs` | [`Inner`]: what all parts share |
//! | `ports.rs` | the node as the port of front ends |
//! | `requests.rs` | changing the catalogue, asking a shard's leader, putting commands into a shard |
//! | `logs.rs` | reading logs from whichever replica, and what retention removes of them |
//! | `receive.rs` | what comes in from other nodes |
//! | `leaders.rs` | who leads what, and what follows when that changes |
//! | `membership.rs` | forming a cluster, and joining one |
//! | `placement.rs` | emptying a node, and letting go of shards |
//! | `upkeep.rs` | what is put right again and again: links, replicas, members, leaders |
//! | `reconfigure.rs` | the members of the groups that this node leads |
//! | `heal.rs` | the end of what follows damage |
//! | `archive.rs` | what this node archives |
//! | `held.rs` | what stays on the disk because it is not archived yet, and its bound |
//! | `backups.rs` | backups of the cluster |
//! | `restore.rs` | a shard of a new cluster, made of what an archive has |
//! | `search.rs` | the search in an archive for what a new cluster begins with |
//! | `users.rs` | passwords, and the sessions of users that go |
//! | `declared_users.rs` | users: declaring, removing and looking at them, for the admin API |
//! | `cluster_view.rs` | the cluster as this node sees it, for the admin API |
//! | `statistics.rs` | the node in figures |
//! | `topics.rs` | topics: declaring, removing and looking at them, for the admin API |
//! | `looked_into.rs` | what only a simulation asks |

mod archive;
mod backups;
mod cluster_view;
mod declared_users;
mod heal;
mod held;
mod inner;
mod leaders;
mod logs;
#[cfg(feature = "simulation")]
mod looked_into;
mod membership;
mod placement;
mod ports;
mod receive;
mod reconfigure;
mod requests;
mod restore;
mod search;
mod start;
mod statistics;
mod topics;
mod upkeep;
mod users;

pub use cluster_view::{ClusterView, NodeView, RestorationView, SafeToStop, ShardView};
pub use declared_users::{User, UserDeclared, UserPermission, UserRefusal, UserView};
pub(crate) use inner::Inner;
#[cfg(feature = "simulation")]
pub use looked_into::ReplicaState;
pub use membership::{FirstNode, FirstUser, FormError, Formation, RestoreOrder};
pub use placement::PlacementRefusal;
pub use start::{Node, Phase, Settings, StartError};
pub use statistics::{LedShard, MessageCounts, Objects, QueueFigures, QueueTotals, ShardCounts, Statistics};
pub use topics::{Binding, QueueInTopic, QueueView, Topic, TopicList, TopicLog, TopicPage, TopicRefusal, TopicView};
pub(crate) use users::OpenSession;
