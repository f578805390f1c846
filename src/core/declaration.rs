//! Exchanges, queues and bindings as a client declares them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{ExchangeName, LogDeclaration, QueueName, RoutingKey};

/// How an exchange routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ExchangeKind {
    /// To the queues whose binding key equals the routing key.
    Direct,
    /// To every queue that is bound.
    Fanout,
    /// To the queues whose binding pattern (`*` one word, `#` any number) matches the routing key.
    Topic,
}

/// The text names no kind of exchange that there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown exchange type '{0}'")]
pub struct UnknownExchangeKind(pub String);

impl FromStr for ExchangeKind {
    type Err = UnknownExchangeKind;

    fn from_str(text: &str) -> Result<Self, UnknownExchangeKind> {
        match text {
            "direct" => Ok(Self::Direct),
            "fanout" => Ok(Self::Fanout),
            "topic" => Ok(Self::Topic),
            _ => Err(UnknownExchangeKind(text.to_owned())),
        }
    }
}

impl fmt::Display for ExchangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
        })
    }
}

/// An exchange that a client wants to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeDeclaration {
    /// Its name; not empty.
    pub name: ExchangeName,
    /// How it routes.
    pub kind: ExchangeKind,
    /// Kept when the cluster restarts.
    pub durable: bool,
    /// Deleted when its last binding goes.
    pub auto_delete: bool,
    /// Clients may not publish to it.
    pub internal: bool,
}

/// A queue that a client wants to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDeclaration {
    /// Its name; where it is empty the broker makes one up (`amq.gen-…`).
    pub name: QueueName,
    /// Declared to be kept when the cluster restarts.
    pub durable: bool,
    /// Of this session only, and gone with it.
    pub exclusive: bool,
    /// Deleted when its last consumer goes; not before it had one.
    pub auto_delete: bool,
    /// Copies on distinct nodes; the cluster's default where none is given.
    pub mirrors: Option<u8>,
    /// It is a log; then it must be durable, and neither exclusive nor deleted by itself.
    pub log: Option<LogDeclaration>,
}

/// Messages of `source` whose key matches `routing_key` go to `queue`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BindingDeclaration {
    /// The exchange.
    pub source: ExchangeName,
    /// The queue.
    pub queue: QueueName,
    /// The key or pattern.
    pub routing_key: RoutingKey,
}
