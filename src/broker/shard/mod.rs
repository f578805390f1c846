//! A node's replicas of shards.
//!
//! | file | what is in it |
//! |---|---|
//! | `state.rs` | [`ShardState`]: the replicated machine, and the hand-outs while this replica leads |
//! | `intake.rs` | [`Intake`]: requests of all nodes, put together into entries |
//! | `replica.rs` | [`Replica`]: group, state and intake, and what follows a change of leader |

mod intake;
mod replica;
mod state;

pub(crate) use intake::{Answers, Intake};
pub(crate) use replica::{OnLeader, Replica};
pub(crate) use state::{Handed, Outlet, ShardState};

/// The consumer that holds what is being purged.
pub(crate) const PURGE: u64 = u64::MAX;
/// The consumer that holds what gets took.
pub(crate) const GET: u64 = 0;
