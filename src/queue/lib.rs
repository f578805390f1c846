//! Pure machines: queues, and the routing to them. No clock, no random, no I/O.
//!
//! ```text
//!   on every replica                     on the leader only
//!   ShardMachine::apply ── effects ────> Handout: who gets which message now
//!     └ Queue: what is stored              (never replicated: see its docs)
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `command.rs` | what is replicated, as bytes: requests of nodes, each with commands |
//! | `shard.rs` | [`ShardMachine`]: the queues of one shard |
//! | `stored.rs`, `runs.rs` | [`Queue`]: which messages it has, and where in the log they lie |
//! | `saved.rs`, `runs/save.rs` | [`SavedShard`]: a shard as it was at a moment, written while it goes on |
//! | `runs/log.rs` | what is asked of a queue that is a log: by time, from an offset on, what is too old |
//! | `partition.rs` | [`partition_of`]: which partition of a topic a key belongs to |
//! | `entries.rs`, `opened.rs` | which entries of the log are needed; [`OpenedEntry`]: the messages in one |
//! | `numbers.rs` | [`Numbers`] of messages, as ranges |
//! | `progress.rs` | each node's requests are taken once, and in order |
//! | `handout.rs` | [`Handout`]: a queue's consumers, and who holds what |
//! | `message.rs` | messages as bytes |
//! | `routing.rs` | [`Exchange`]: from routing keys to queues |
//!
//! Invariant: the same commands in the same order give the same state on every replica and in every version.

mod command;
mod entries;
#[cfg(test)]
mod fixture;
mod handout;
mod message;
mod numbers;
mod opened;
mod partition;
mod progress;
mod routing;
mod runs;
mod saved;
mod shard;
mod stored;

pub use command::{Command, CommandWriter, Outcome, Request, decode_outcomes, encode_request};
pub use handout::{Consumer, ConsumerKey, HandedOut, Handout, Holding, UnderWay, Window};
pub use message::{decode as decode_message, encode as encode_message};
pub use numbers::Numbers;
pub use opened::OpenedEntry;
pub use partition::partition_of;
pub use routing::Exchange;
pub use runs::Place;
pub use saved::SavedShard;
pub use shard::{Effect, Effects, Moment, ShardMachine};
pub use stored::Queue;

/// A queue's number in the catalogue; never used again for another.
pub type QueueId = std::num::NonZeroU64;
