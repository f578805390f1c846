//! A node's replicas of shards.
//!
//! | file | what is in it |
//! |---|---|
//! | `state.rs` | [`ShardState`]: the replicated machine, and the hand-outs while this replica leads |
//! | `lead.rs`, `bodies.rs` | what a leader knows and does not replicate; entries of the log in memory |
//! | `doubt.rs` | what a leader doubts of a node after a connection broke |
//! | `logs.rs` | reading of logs: from any replica, and nothing is kept of who reads |
//! | `intake.rs` | [`Intake`]: requests of all nodes, put together into entries |
//! | `replica.rs` | [`Replica`]: group, state and intake, and what follows a change of leader |

mod bodies;
mod doubt;
mod intake;
mod lead;
mod logs;
mod replica;
mod state;

pub(crate) use intake::{Answers, Intake};
pub(crate) use logs::{LogBatch, LogRead};
pub(crate) use replica::{OnLeader, Replica};
pub(crate) use state::{Handed, Lost, Outlet, ShardState, Taken};
