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
//! | `stored.rs` | [`Queue`] and its messages |
//! | `progress.rs` | each node's requests are taken once, and in order |
//! | `handout.rs` | [`Handout`]: a queue's consumers, and who holds what |
//! | `message.rs` | messages as bytes |
//! | `routing.rs` | [`Exchange`]: from routing keys to queues |
//!
//! Invariant: the same commands in the same order give the same state on every replica and in every version.

mod command;
mod handout;
mod message;
mod progress;
mod routing;
mod shard;
mod stored;

pub use command::{Command, CommandWriter, Outcome, Request, decode_outcomes, encode_request};
pub use handout::{Consumer, ConsumerKey, HandedOut, Handout};
pub use message::{decode as decode_message, encode as encode_message};
pub use routing::Exchange;
pub use shard::{Effect, ShardMachine};
pub use stored::{Queue, Stored};

/// A queue's number in the catalogue; never used again for another.
pub type QueueId = std::num::NonZeroU64;
