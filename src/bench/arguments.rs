//! What is typed.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::{error::BenchError, uri::Uri};

/// Publishes to queues and consumes from them, and measures how fast that goes: of FerryMQ, or of any other broker that
/// speaks AMQP 0-9-1.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub(crate) other: Option<Other>,
    #[command(flatten)]
    pub(crate) load: Load,
}

/// What is measured instead of messages.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Other {
    /// Declares durable queues, one after the other on each connection, and measures how fast that goes.
    Queues(Queues),
}

/// Options of both.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Where to connect; several, separated by commas or each with its own --uri, share the connections
    #[arg(
        long,
        value_name = "URI",
        value_delimiter = ',',
        default_value = "amqp://guest:guest@127.0.0.1:5672/%2f",
        env = "FERRYMQ_BENCH_URI",
        hide_env_values = true
    )]
    pub(crate) uri: Vec<Uri>,
    /// What the names of the queues begin with
    #[arg(long, value_name = "TEXT", default_value = "bench-")]
    pub(crate) queue_prefix: String,
    /// The argument x-queue-type of the queues; without it they are declared without arguments
    #[arg(long, value_name = "TYPE")]
    pub(crate) queue_type: Option<QueueType>,
    /// Delete the queues at the end
    #[arg(long)]
    pub(crate) delete: bool,
    /// Write the result as JSON to a file, or to the standard output where it is -
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Print no progress
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// A kind of queue of RabbitMQ's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueueType {
    /// `classic`
    Classic,
    /// `quorum`
    Quorum,
}

impl QueueType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
        }
    }
}

/// A load of messages.
#[derive(Debug, Clone, Args)]
pub(crate) struct Load {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Publishers, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) publishers: u32,
    /// Consumers, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) consumers: u32,
    /// Queues; publishers and consumers are spread over them evenly
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) queues: u32,
    /// Bytes of a message's body; the latency from end to end is measured where there are at least 12
    #[arg(long, value_name = "BYTES", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(..=1 << 27))]
    pub(crate) size: u32,
    /// Bodies that are unlike each other and compress to half; without it a publisher's are all alike
    #[arg(long)]
    pub(crate) varied: bool,
    /// Publishes of a publisher that may wait for their confirm; 0: no confirms are asked for
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub(crate) confirms: u32,
    /// Messages that a consumer may hold unacknowledged, of each of its queues; 0: any number
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) prefetch: u16,
    /// Acknowledge every so many messages, and what is left when none came for a tenth of a second; 0: nothing is
    /// acknowledged, the broker takes what it sent for settled
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) ack_every: u32,
    /// Messages a second, of all publishers together; 0: as fast as it goes
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) rate: u32,
    /// Seconds that are measured [default: 15, or until all messages are through where --messages says how many]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: Option<u64>,
    /// Seconds before these that are not measured
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) warm_up: u64,
    /// Publish so many messages in all, and end when they are confirmed and received
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) messages: Option<u64>,
    /// Declare nothing: the queues are there
    #[arg(long)]
    pub(crate) no_declare: bool,
    /// Messages that survive a restart of the broker, as it is without --transient
    #[arg(long, overrides_with = "transient")]
    pub(crate) durable: bool,
    /// Messages that need not
    #[arg(long, overrides_with = "durable")]
    pub(crate) transient: bool,
}

impl Load {
    /// # Errors
    ///
    /// [`BenchError::Arguments`] where nothing would happen, or never end.
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        let wrong = |sentence: &str| Err(BenchError::Arguments(sentence.to_owned()));
        if self.publishers == 0 && self.consumers == 0 {
            return wrong("there are neither publishers nor consumers: give --publishers or --consumers");
        }
        if self.publishers == 0 && self.messages.is_some() {
            return wrong("--messages says how many to publish, and there are no publishers; use --seconds");
        }
        check_names(&self.common.queue_prefix)
    }
}

/// Many queues.
#[derive(Debug, Clone, Args)]
pub(crate) struct Queues {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Queues to declare
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) count: u32,
    /// Connections to declare them by
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) connections: u32,
}

impl Queues {
    /// # Errors
    ///
    /// [`BenchError::Arguments`] where the names would be too long.
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        check_names(&self.common.queue_prefix)
    }
}

fn check_names(prefix: &str) -> Result<(), BenchError> {
    const MOST: usize = 240;
    if prefix.len() > MOST {
        return Err(BenchError::Arguments(format!(
            "--queue-prefix has {} bytes, and may have {MOST}: a name has at most 255",
            prefix.len()
        )));
    }
    Ok(())
}
