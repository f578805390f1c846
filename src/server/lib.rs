//! A broker as a process has it: configuration, listeners, wiring, shutdown.
//!
//! ```text
//!   Configuration ──> start ──> Node (broker)
//!                        ├────> links of other nodes
//!                        ├────> listeners ──> amqp::serve, a task a client
//!                        ├────> management::serve ──> admin.rs (the node as the admin port)
//!                        └────> management::serve_metrics ──> metrics/ (the node in figures)
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `start.rs` | [`fn@start`] and [`Running`] |
//! | `certificates.rs` | the certificates that it serves with, and their files |
//! | `links.rs` | links to other brokers over TLS |
//! | `listeners.rs` | clients' connections |
//! | `admin.rs`, `users.rs`, `backups.rs` | the node as the admin port |
//! | `archives.rs` | archives, opened as the configuration says |
//! | `metrics/` | the node in figures, as the text of OpenMetrics |
//! | `disk.rs` | how full the disk is |
//! | `memory.rs` | how much memory messages may take |
//! | `verify.rs` | looking at a broker's data while it does not run |

mod admin;
mod archives;
mod backups;
mod certificates;
mod disk;
mod links;
mod listeners;
mod memory;
mod metrics;
mod start;
mod users;
mod verify;

pub use archives::{ArchiveOpenError, open_archive};
pub use ferrymq_broker::{DataProblem, DataReport, FileReport, VerifyError};
pub use metrics::sample_metrics;
pub use start::{Running, StartError, read_configuration, start};
pub use verify::verify;

/// The version that runs.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
