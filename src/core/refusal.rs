//! Why a request was refused.

use crate::InvalidName;

/// What kind of thing a refusal speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A virtual host.
    VirtualHost,
    /// An exchange.
    Exchange,
    /// A queue.
    Queue,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::VirtualHost => "vhost",
            Self::Exchange => "exchange",
            Self::Queue => "queue",
        })
    }
}

/// Why a request was refused. Each front end says it in its protocol's own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not there.
    #[error("no {kind} '{name}' in vhost '{virtual_host}'")]
    NotFound {
        /// What was asked for.
        kind: Kind,
        /// Its name.
        name: String,
        /// Where it was looked for.
        virtual_host: String,
    },
    /// It is there, but is not what was declared.
    #[error(
        "inequivalent arg '{argument}' for {kind} '{name}' in vhost '{virtual_host}': received '{received}' but current is '{current}'"
    )]
    Inequivalent {
        /// What was declared.
        kind: Kind,
        /// Its name.
        name: String,
        /// Where it is.
        virtual_host: String,
        /// Which of its attributes differs.
        argument: &'static str,
        /// What the client wants.
        received: String,
        /// What is.
        current: String,
    },
    /// It belongs to another session, exclusively.
    #[error("cannot obtain exclusive access to locked queue '{name}' in vhost '{virtual_host}'")]
    Locked {
        /// The queue.
        name: String,
        /// Where it is.
        virtual_host: String,
    },
    /// One consumer has it for itself, or wants it for itself while there are others.
    #[error("queue '{name}' in vhost '{virtual_host}' in exclusive use")]
    ConsumedExclusively {
        /// The queue.
        name: String,
        /// Where it is.
        virtual_host: String,
    },
    /// To be deleted only if unused, but it is used.
    #[error("{kind} '{name}' in vhost '{virtual_host}' in use")]
    InUse {
        /// What was to be deleted.
        kind: Kind,
        /// Its name.
        name: String,
        /// Where it is.
        virtual_host: String,
    },
    /// To be deleted only if empty, but it is not.
    #[error("queue '{name}' in vhost '{virtual_host}' not empty")]
    NotEmpty {
        /// The queue.
        name: String,
        /// Where it is.
        virtual_host: String,
    },
    /// A topic has no such partition.
    #[error(
        "no partition {partition} of topic '{name}' in vhost '{virtual_host}': it has {partitions}, counted from 0"
    )]
    NoPartition {
        /// The topic.
        name: String,
        /// Where it is.
        virtual_host: String,
        /// What was asked for.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
    /// What it is does not allow this, as it was asked for.
    #[error("{reason}")]
    Precondition {
        /// Why, as a sentence.
        reason: String,
    },
    /// What it is never allows this.
    #[error("{reason}")]
    NotSupported {
        /// Why, as a sentence.
        reason: String,
    },
    /// Not this user, or not with this name (`amq.` is reserved).
    #[error("{reason}")]
    Forbidden {
        /// Why, as a sentence.
        reason: String,
    },
    /// The name is none.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    /// It cannot be done just now: no leader, no majority, a node that starts or stops.
    #[error("{reason}")]
    Unavailable {
        /// Why, as a sentence.
        reason: String,
    },
}
