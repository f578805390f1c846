//! Whole clusters in one process, on one thread a seed, whose disks, links and clocks fail as the seed says.
//!
//! ```text
//!   seed ──> schedule.rs ──> world.rs: brokers, each a process with a disk ── links ── the others
//!               │               ^
//!               │ faults.rs ────┘     clients.rs ──> front_end.rs, in a broker's process
//!               ▼                         │
//!            healed, drained        history (testkit) ──> what was promised, and was it kept?
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `schedule.rs` | [`simulate`]: a seed from beginning to end |
//! | `world.rs`, `broker.rs`, `condition.rs` | the cluster: brokers that are started, killed, compared and healed |
//! | `faults.rs`, `coverage.rs` | [`Fault`]: what goes wrong; [`Coverage`]: how often it hit something |
//! | `disk.rs`, `network.rs`, `pipe.rs` | disks and links between the brokers and the simulation |
//! | `clients.rs`, `front_end.rs` | programs that publish and consume |
//! | `reach.rs` | whose deliveries are promised to stay with them |
//! | `entropy.rs` | the one source of randomness |
//! | `story.rs` | what happened, for people and for comparing two runs |
//!
//! Invariant: two runs of a seed are the same, to the last byte on every link. Time is tokio's, paused: it goes on when
//! nothing else can.

mod broker;
mod clients;
mod condition;
mod coverage;
mod disk;
mod entropy;
mod faults;
mod front_end;
mod network;
mod pipe;
mod reach;
mod schedule;
mod story;
mod world;

pub use coverage::Coverage;
pub use faults::Fault;
pub use ferrymq_replication::simulation::Flaw;
pub(crate) use network::Links;
pub use schedule::{Outcome, simulate};
pub(crate) use story::Story;

/// What was wrong, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Failure(pub String);
