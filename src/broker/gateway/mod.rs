//! This node's clients' side of the shards, wherever these are led.
//!
//! | file | what is in it |
//! |---|---|
//! | `outbox.rs` | [`Outbox`]: requests to one shard, once and in order, whatever happens to its leader |
//! | `waiter.rs` | [`Waiter`]: who is told when a request has taken effect |
//! | `consumers.rs` | [`Consumers`]: consumers of this node, and what they hold |
//! | `log_consumers.rs` | [`LogConsumers`]: a session's consumers of logs, each a task that reads |

mod consumers;
mod log_consumers;
mod outbox;
mod waiter;

pub(crate) use consumers::{Consumers, Left, NewConsumer};
pub(crate) use log_consumers::{LogConsumers, NewLogConsumer};
pub(crate) use outbox::{Outbox, Submit};
pub(crate) use waiter::{Publisher, Several, Waiter, complete};
