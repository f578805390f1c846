//! Why nothing was imported, or not all.

use std::{io, path::PathBuf};

use super::side::Side;

/// Why an import ended before its end. What was done until then stays done, and the same command goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// An address is none.
    #[error("--{option} is no address of a broker; it should look like amqp://user@host:5672/%2F")]
    Address {
        /// Which was typed.
        option: &'static str,
    },
    /// An address asks for TLS.
    #[error("--{option} asks for TLS (amqps), which import does not speak; give an address that begins with amqp://")]
    Tls {
        /// Which was typed.
        option: &'static str,
    },
    /// A password cannot be read.
    #[error("cannot read the password of --{option} from {path}: {source}; name its file by --{option}-password-file")]
    Password {
        /// Whose.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// RabbitMQ's management API cannot be asked, or did not answer as it should.
    #[error("RabbitMQ's management API at {base}: {reason}")]
    Management {
        /// Who was asked.
        base: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A queue that was asked for is not there.
    #[error("RabbitMQ has no queue '{name}' in virtual host '{virtual_host}'; `--dry-run` lists those that it has")]
    NoQueue {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        virtual_host: String,
    },
    /// A side refuses.
    #[error("{side} refuses {what}: {reason}")]
    Refused {
        /// Who.
        side: Side,
        /// What it was asked for.
        what: String,
        /// Its words, and what to do.
        reason: String,
    },
    /// A connection broke. It is opened again a few times.
    #[error("{side} was lost: {reason}; the same command goes on from there")]
    Lost {
        /// Who.
        side: Side,
        /// What the client library says.
        reason: String,
    },
    /// A side does not do what it was asked for, in time.
    #[error("{side} {what} within {seconds} s; {advice}. The same command goes on from there")]
    Silent {
        /// Who.
        side: Side,
        /// What it did not do.
        what: String,
        /// How long it was waited for.
        seconds: u64,
        /// What to look at.
        advice: String,
    },
    /// It is not known how far this was.
    #[error("{path} {reason}")]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// Reading without acknowledging brings a message nearer to where RabbitMQ drops it.
    #[error(
        "queue '{queue}' has messages that RabbitMQ handed out {deliveries} times and drops after {limit}, and a copy counts as \
         one time; move them without --copy, or give the queue a higher delivery-limit by a policy"
    )]
    WornOut {
        /// The queue.
        queue: String,
        /// How often one was handed out.
        deliveries: u64,
        /// How often it may be.
        limit: u64,
    },
    /// What was copied is not what RabbitMQ has now.
    #[error(
        "queue '{queue}' in RabbitMQ no longer begins with the {copied} messages that were copied before, so that it cannot \
         be gone on: somebody consumes from it, or it is a quorum queue that got back what a reader held when it was \
         killed. Empty the queue in FerryMQ and give another --state to copy it anew"
    )]
    Changed {
        /// The queue.
        queue: String,
        /// How many were copied.
        copied: u64,
    },
}

impl ImportError {
    /// Whether it is worth to connect again.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }
}
