//! What RabbitMQ says is declared, as far as it matters here.

use serde::Deserialize;
use serde_json::{Map, Value};

/// All of a virtual host.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    pub(super) exchanges: Vec<Exchange>,
    pub(super) queues: Vec<Queue>,
    pub(super) bindings: Vec<Binding>,
    /// Not known where the user may not see them.
    pub(super) policies: Option<Vec<Policy>>,
    /// Likewise.
    pub(super) users: Option<Vec<User>>,
    /// Likewise.
    pub(super) permissions: Option<Vec<Permission>>,
}

/// An exchange.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Exchange {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) durable: bool,
    pub(super) auto_delete: bool,
    pub(super) internal: bool,
    #[serde(default)]
    pub(super) arguments: Map<String, Value>,
}

/// A queue.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Queue {
    pub(super) name: String,
    #[serde(rename = "type", default = "classic")]
    pub(super) kind: String,
    pub(super) durable: bool,
    pub(super) auto_delete: bool,
    #[serde(default)]
    pub(super) exclusive: bool,
    #[serde(default)]
    pub(super) arguments: Map<String, Value>,
    /// Messages, some seconds ago; those of a queue that was just made are not known.
    #[serde(default)]
    pub(super) messages: u64,
    /// Bytes of their bodies, likewise.
    #[serde(default)]
    pub(super) message_bytes: u64,
    /// How often a quorum queue hands out a message before it drops it; a text where there is no limit.
    #[serde(default)]
    pub(super) delivery_limit: Value,
}

fn classic() -> String {
    "classic".to_owned()
}

/// A binding.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Binding {
    pub(super) source: String,
    pub(super) destination: String,
    pub(super) destination_type: String,
    pub(super) routing_key: String,
}

/// A policy.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) pattern: String,
    pub(super) definition: Map<String, Value>,
}

/// A user.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct User {
    pub(super) name: String,
}

/// What a user may do in the virtual host.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Permission {
    pub(super) user: String,
    pub(super) configure: String,
    pub(super) write: String,
    pub(super) read: String,
}
