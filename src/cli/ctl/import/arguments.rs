//! What is typed.

use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr};

use clap::Args;

/// What `ctl import` is told.
#[derive(Debug, Clone, Args)]
pub struct ImportArguments {
    /// RabbitMQ, with user and virtual host, such as amqp://mover@rabbit:5672/%2F.
    ///
    /// The password is better not typed: put it into a file, or into the environment variable
    /// `FERRYMQ_IMPORT_FROM_PASSWORD`.
    #[arg(long, value_name = "URI", env = "FERRYMQ_IMPORT_FROM", hide_env_values = true)]
    pub from: Hidden,

    /// The file with RabbitMQ's password.
    #[arg(long, value_name = "FILE", env = "FERRYMQ_IMPORT_FROM_PASSWORD_FILE")]
    pub from_password_file: Option<PathBuf>,

    /// RabbitMQ's management API, such as http://rabbit:15672; by default port 15672 of the host of --from. It is asked as
    /// the user of --from.
    #[arg(long, value_name = "URL", env = "FERRYMQ_IMPORT_FROM_MANAGEMENT")]
    pub from_management: Option<String>,

    /// The file with the authorities that the management API's certificate must come from, for an https address.
    #[arg(long, value_name = "FILE")]
    pub from_management_ca_file: Option<PathBuf>,

    /// FerryMQ, with user and virtual host, such as amqp://default@orders:5672/%2F.
    ///
    /// Its password can be in the environment variable `FERRYMQ_IMPORT_TO_PASSWORD`.
    #[arg(long, value_name = "URI", env = "FERRYMQ_IMPORT_TO", hide_env_values = true)]
    pub to: Hidden,

    /// The file with FerryMQ's password.
    #[arg(long, value_name = "FILE", env = "FERRYMQ_IMPORT_TO_PASSWORD_FILE")]
    pub to_password_file: Option<PathBuf>,

    /// Only this queue, what it is bound to, and its messages; can be given more than once.
    #[arg(long = "queue", value_name = "NAME")]
    pub queues: Vec<String>,

    /// Says what would be made and what would not, and does nothing.
    #[arg(long, conflicts_with_all = ["copy", "verify"])]
    pub dry_run: bool,

    /// Makes exchanges, queues and bindings, and leaves the messages where they are.
    #[arg(long, conflicts_with_all = ["copy", "verify"])]
    pub definitions_only: bool,

    /// Leaves the messages in RabbitMQ: those that are there when it begins are read, published, and given back at the end.
    #[arg(long)]
    pub copy: bool,

    /// Reads what FerryMQ has then, compares it with what was read from RabbitMQ, and gives it back.
    #[arg(long)]
    pub verify: bool,

    /// The folder in which it is kept how far this is, so that it goes on where it was stopped; one for each move.
    #[arg(long, value_name = "DIR", default_value = "ferrymq-import")]
    pub state: PathBuf,

    /// The most messages that are under way at once. Fewer where they are large: about 32 MiB are under way at most.
    #[arg(long, value_name = "MESSAGES", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub window: u16,

    /// How long to wait for an answer of either side before giving up.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub patience: u64,
}

/// A text that may hold a password, and is therefore never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub(super) String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl FromStr for Hidden {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}
