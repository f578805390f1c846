//! The catalogue: what there is. One Raft group that every node holds, and every node reads its own copy of.
//!
//! | file | what is in it |
//! |---|---|
//! | `records.rs` | what is kept of nodes, shards, exchanges, queues, users and topics |
//! | `command.rs` | how it changes, and what it answers |
//! | `state.rs` | [`Catalogue`]: all of it, and the routing that follows from it |
//! | `apply.rs` | each command's effect |
//! | `placement.rs` | which nodes hold which shards, and lead them |
//! | `topics.rs` | the effect of declaring and removing a topic |
//! | `users.rs` | users that are declared, and what they may do |
//! | `logs.rs` | queues that are logs, and the partitions of topics |
//! | `restoration.rs` | a cluster that begins with what another one had |
//! | `machine.rs` | the catalogue as a replicated machine |
//! | `recorded.rs`, `recorded/` | logs of earlier versions, for tests: each version must make the same of them |

mod apply;
mod command;
mod logs;
mod machine;
mod placement;
#[cfg(test)]
mod recorded;
mod records;
mod restoration;
mod state;
mod topics;
mod users;

pub(crate) use command::{Answer, Command, Denied};
pub(crate) use logs::{Retention, TopicLogSpec, partition_name};
pub(crate) use machine::CatalogueMachine;
pub(crate) use records::{
    BindingRecord, ExchangeRecord, NodeRecord, Owner, QueueRecord, ShardRecord, TopicBindingSpec, TopicQueueSpec,
    TopicRecord, TopicSpec, UserRecord,
};
pub(crate) use restoration::{Restoration, RestoredFormation, ShardSource, Upto};
pub(crate) use state::{Catalogue, Routed};
pub(crate) use users::{PermissionRecord, Standing, UserSpec};

/// The catalogue's own group.
pub(crate) const CATALOGUE_GROUP: u32 = 0;
