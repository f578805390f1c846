//! `ferrymq dev`: a whole cluster in one process, from the same YAML that Kubernetes takes.
//!
//! ```text
//!   the file --watch--> desired --+
//!                                 v            form once, users, topics
//!   data directory <--record-- reconciler --------------------------------> admin API of the brokers
//!                                 |                                             ^
//!                                 v                                             |
//!                              report: endpoints, conditions                 brokers, started by Launch
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `arguments.rs` | what is typed |
//! | `run.rs` | [`fn@run`]: from the start to the clean stop |
//! | `desired.rs` | what the file asks for; what of it cannot be done while the cluster runs |
//! | `watch.rs` | the file, and when it was saved anew |
//! | `ports.rs` | where each broker listens |
//! | `place.rs` | the data directory: one owner, files that are whole or not there |
//! | `certificate.rs` | the certificate of listeners with TLS |
//! | `launch.rs` | [`Launch`]: how brokers are started, which is another crate's matter |
//! | `crew.rs` | the brokers that run, and how all of them stop |
//! | `formation.rs` | the cluster is formed once, and that is recorded before |
//! | `topics.rs` | topics as they are declared, and taken away |
//! | `users.rs` | users, and their passwords |
//! | `reconciler.rs` | a step closer to what the file asks for, again and again |
//! | `conditions.rs`, `report.rs` | what is so, and how it is printed |
//!
//! Invariants: what was formed is never formed again; a file that is wrong changes nothing; nothing listens but on the
//! loopback.

mod arguments;
mod certificate;
mod conditions;
mod crew;
mod desired;
mod formation;
mod launch;
mod place;
mod ports;
mod reconciler;
mod report;
mod run;
mod topics;
mod users;
mod watch;

#[cfg(test)]
mod tests;

pub use arguments::Arguments;
pub use certificate::CertificateError;
pub use desired::DesiredError;
pub(crate) use formation::Record;
pub use launch::{Launch, LaunchedBroker};
pub(crate) use place::Place;
pub use place::PlaceError;
pub use ports::PortError;
pub use run::{DevError, asked_to_stop, run};
