//! What is typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{BackupArguments, ImportArguments, RestoreArguments};

/// Asks a broker, or tells it something, by its admin API; or looks at the data of one that does not run.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// The broker's own configuration file, which names its admin port and its token file.
    #[arg(
        long,
        value_name = "FILE",
        env = "FERRYMQ_CONFIG",
        default_value = "/etc/ferrymq/broker.json",
        global = true
    )]
    pub config: PathBuf,

    /// The address of the admin API, such as http://127.0.0.1:7500, instead of the one in the configuration file.
    #[arg(long, value_name = "URL", env = "FERRYMQ_ADMIN", global = true)]
    pub admin: Option<String>,

    /// The file with the token, instead of the one in the configuration file.
    #[arg(long, value_name = "FILE", env = "FERRYMQ_TOKEN_FILE", global = true)]
    pub token_file: Option<PathBuf>,

    /// The file with the authorities that the broker's certificate must come from, for an https address; instead of those
    /// that the configuration file names.
    #[arg(long, value_name = "FILE", env = "FERRYMQ_CA_FILE", global = true)]
    pub ca_file: Option<PathBuf>,

    /// The name that the broker's certificate must be for, such as orders-nodes.shop.svc, instead of the one in the
    /// configuration file.
    #[arg(long, value_name = "NAME", env = "FERRYMQ_SERVER_NAME", global = true)]
    pub server_name: Option<String>,

    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// What `ctl` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Says what the broker says of itself.
    Node,
    /// Shows the brokers and shards of the cluster.
    Cluster,
    /// Shows the topics and their queues.
    Topics,
    /// Shows the users and what they may do.
    Users,
    /// Says whether the broker may stop without a shard losing its majority.
    SafeToStop,
    /// Gives all that the broker leads to others; it leads nothing more until it is started again.
    HandOver,
    /// Empties a broker: all that it holds goes to the others, one shard after the other, while clients go on.
    ///
    /// Waits until it holds nothing, and tells how far it is. Stopping this command does not stop the broker's being
    /// emptied: `--undo` does.
    Drain {
        /// The broker's ordinal: 2 for `orders-2`.
        ordinal: u32,

        /// Lets it have its share again.
        #[arg(long)]
        undo: bool,

        /// Does not wait.
        #[arg(long, conflicts_with = "undo")]
        no_wait: bool,
    },
    /// Takes a broker that was emptied out of the cluster, for good; it is to be stopped then.
    Remove {
        /// The broker's ordinal: 2 for `orders-2`.
        ordinal: u32,
    },
    /// Forms a cluster, once, of brokers that belong to none.
    Form {
        /// The formation as JSON; `-` for the standard input.
        file: String,
    },
    /// Looks at what is on the disk of a broker that does not run.
    #[command(subcommand)]
    Journal(Journal),
    /// Looks at what is in an archive: no broker is asked, and nothing is changed.
    Backup(Box<BackupArguments>),
    /// Makes the data of a cluster of one broker, on this machine, of what is in an archive.
    ///
    /// A broker in this process restores it, and is stopped then. The cluster has a new id, all messages, topics, users and
    /// permissions that the archived one had, and is served by `ferrymq dev` or by a broker by itself. Where something is
    /// damaged or missing, nothing is restored, and nothing stays in the directory.
    Restore(Box<RestoreArguments>),
    /// Copies definitions and messages of a running RabbitMQ into a running FerryMQ.
    ///
    /// Exchanges, queues and bindings are declared; the messages of each queue are moved in their order: read, published,
    /// confirmed by FerryMQ, and only then acknowledged in RabbitMQ. It may be stopped at any moment; the same command goes on.
    /// Says what is not carried over, and why. Ends with 0 where all was moved, and with 1 where not, or where what FerryMQ
    /// has is not what was read.
    Import(Box<ImportArguments>),
}

/// What `ctl journal` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum Journal {
    /// Verifies every byte of a broker's data, and changes nothing.
    ///
    /// Looks at the journal and its indexes, the snapshots, and who the broker is, and lists everything that is damaged,
    /// with file and offset. Ends with 0 where all is whole, with 1 where something is damaged, and with 2 where it cannot
    /// look, as when the broker runs.
    Verify {
        /// The broker's data directory, one in it that was set aside, or that of its journal only.
        directory: PathBuf,
    },
}
