//! The operator: turns `MessageQueue`, `Topic` and `User` resources into Kubernetes objects and into what the broker's catalogue
//! holds, and says in their status what is.
//!
//! ```text
//!   MessageQueue --> dereference --> validate --> plan --> build --> apply --> act --> status
//!                     (reads)         (pure)     (pure)   (pure)   (writes)  (admin API, one pod at a time)
//!
//!   Topic, User  --> dereference --> validate --> plan --> apply (admin API) --> status
//! ```
//!
//! | folder or file | what is in it |
//! |---|---|
//! | `message_queue/` | a reconcile of a `MessageQueue`, one file a phase; `build/` has one file per Kubernetes object |
//! | `topic/`, `user/` | a reconcile of a `Topic` and of a `User`, one file a phase |
//! | `cluster_state.rs` | the cluster that they belong to |
//! | `siblings.rs` | who has a name that several want |
//! | `links.rs` | what brokers have of topics, as they tell it |
//! | `objects.rs` | kinds of objects that the operator owns; whether what is there is what is wanted |
//! | `finalizers.rs` | finalizers of resources of ours |
//! | `backoff.rs` | how long to wait after what did not go on |
//! | `names.rs` | names and labels of what it owns |
//! | `lease.rs` | which of several operators acts |
//! | `probes.rs` | `/livez` and `/readyz`, and the port of the metrics |
//! | `metrics/` | the operator in figures |
//! | `bad_weather.rs` | tests: an API server that is slow, fails, refuses, or is gone |
//! | `gitops.rs` | tests: what GitOps tools make of the statuses |
//!
//! Invariants:
//!
//! * A cluster is formed once. The intent is written to the status before it is carried out, and while that record stands
//!   nothing forms a second one.
//! * A pod is deleted only where its brokers' cluster can do without it, or where it serves nothing anyway; a volume only
//!   when its broker was emptied, or when it went with its machine and every shard has a majority elsewhere.
//! * The data of a broker is given to another process only when the one that had it is known to be dead.
//! * Pods' template and configuration change only when what the user wrote changes: a new version of the operator restarts
//!   nothing by itself.
//! * No finalizer is on a `MessageQueue`; those on a `Topic` and a `User` are dropped when its cluster is gone or going.

mod backoff;
mod backup;
mod cluster_state;
mod context;
mod error;
mod finalizers;
mod lease;
mod links;
mod message_queue;
mod metrics;
mod names;
mod objects;
mod probes;
mod run;
mod settings;
mod siblings;
mod topic;
mod user;

#[cfg(test)]
mod bad_weather;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod gitops;

pub use error::OperatorError;
pub use metrics::sample_metrics;
pub use run::run;
pub use settings::{Settings, SettingsError};
