//! What people and pods type: `ctl`, which asks a broker by its admin API, `dev`, a whole cluster in one process, and
//! `kubectl mq`, which asks Kubernetes.
//!
//! ```text
//!   ctl --(configuration file, or address and token)--> admin API of one broker
//!
//!   dev --file--> desired --+
//!                           v
//!   brokers <--start-- reconciler --admin API--> form, topics        the operator's part, without Kubernetes
//!                           |
//!                           +--> report: endpoints and conditions
//! ```
//!
//! | folder, file | what is in it |
//! |---|---|
//! | `ctl/` | [`ctl::run`]: one call, one answer as a table |
//! | `dev/` | [`dev::run`]: the cluster of a YAML file, until it is stopped |
//! | `mq/` | [`mq::run`]: what is typed as `kubectl mq` |
//! | `table.rs` | rows of text as aligned columns |
//! | `told.rs` | an error and its causes as one sentence |

pub mod ctl;
pub mod dev;
pub mod mq;
mod table;
mod told;
