//! `ferrymq bench`: a load generator over AMQP 0-9-1, for FerryMQ and for every other broker that speaks it.
//!
//! ```text
//!   arguments -> run -> queues (declare)
//!                    -> load --phase--> publishers: schedule -> train -> link    a connection each
//!                         ^        +--> consumers:  link -> scan                 a connection each
//!                         |                              |
//!                      report <------- measures <--------+
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `arguments.rs`, `uri.rs` | what is typed |
//! | `run.rs` | [`fn@run`]: from the first queue to the result |
//! | `load.rs`, `shared.rs` | a load under way: its phases, and what its connections share |
//! | `publisher.rs`, `consumer.rs` | a connection that publishes, one that consumes |
//! | `queues.rs` | declaring and deleting many queues |
//! | `link.rs`, `input.rs`, `scan.rs` | a client's connection; what is read; the methods that come by the million |
//! | `train.rs`, `noise.rs` | publishes in a row, whose bodies are written once; or each anew, where they are to differ |
//! | `schedule.rs`, `metronome.rs` | when messages are due; who tells publishers so |
//! | `unconfirmed.rs` | what waits for its confirm |
//! | `measures.rs`, `report.rs` | counts and latencies; how they are told |
//!
//! Invariants:
//! - The generator shares its machine with what it measures, so it is cheap: no message costs an allocation, a copy of
//!   its body or a system call of its own; a body that is to differ from all others is written, which is little. All of it runs well on one thread.
//! - No coordinated omission: at a rate, a latency begins when the message was due, whether it could be published then or
//!   not, and what was never published or confirmed counts with the time that it waited. Without a rate it begins when
//!   the message is handed to the socket.
//! - Memory is bounded: a publisher has one batch and its window of confirms, a consumer one read.
//! - A connection that breaks in the middle of a run is opened again, at the next URI, and is counted; one that cannot be
//!   opened at first ends the run with what to do about it.

mod arguments;
mod consumer;
mod error;
mod input;
mod link;
mod load;
mod measures;
mod metronome;
mod noise;
mod publisher;
mod queues;
mod report;
mod run;
mod scan;
mod schedule;
mod shared;
mod train;
mod unconfirmed;
mod uri;

pub use arguments::Arguments;
pub use error::{BenchError, Broken};
pub use run::run;
