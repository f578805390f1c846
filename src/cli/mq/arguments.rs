//! What is typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::mq::PluginError;

/// Clusters of message brokers: what they are, what they do next, and what helps when they do not.
#[derive(Debug, Clone, Parser)]
#[command(name = "kubectl mq", bin_name = "kubectl mq", version, arg_required_else_help = true)]
pub struct Arguments {
    /// The namespace; that of the context where none is said.
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,

    /// The context of the kubeconfig; the current one where none is said.
    #[arg(long, global = true)]
    pub context: Option<String>,

    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// What the plugin can do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Draws a cluster: its brokers with what they hold, its shards, what is not as it should be, and what comes next.
    Status {
        /// The MessageQueue.
        name: String,
        /// How the answer is written.
        #[command(flatten)]
        output: Output,
    },
    /// Shows the topics and their queues.
    Topics {
        /// Only those of this MessageQueue.
        name: Option<String>,
        /// How the answer is written.
        #[command(flatten)]
        output: Output,
    },
    /// Empties a broker while clients go on; its MessageQueue must be paused.
    Drain {
        /// The broker's pod, such as orders-2.
        broker: String,
    },
    /// Lets a broker that is being emptied have its share again.
    Undrain {
        /// The broker's pod, such as orders-2.
        broker: String,
    },
    /// Shows a cluster until there is nothing to do: restarts, brokers that are emptied, mirrors that catch up.
    ///
    /// Ends with 0 then, and with 1 where the cluster needs a person.
    Follow {
        /// The MessageQueue.
        name: String,
    },
    /// Gathers resources, events, logs and what the brokers say into one file, without Secrets.
    SupportBundle {
        /// The MessageQueue.
        name: String,
        /// The file to write [default: NAME-support.tar.gz]
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Output {
    /// How it is written.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Output {
    /// What is to be printed, of which `draw` makes a picture.
    pub(crate) fn written<T: Serialize>(
        self,
        what: &T,
        draw: impl FnOnce(&T) -> String,
    ) -> Result<String, PluginError> {
        match self.output {
            Format::Text => Ok(draw(what)),
            Format::Json => {
                serde_json::to_string_pretty(what).map(|text| format!("{text}\n")).map_err(PluginError::Json)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn what_can_be_typed_contradicts_itself_nowhere() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_that_the_pages_name_is_there() {
        let command = Arguments::command();
        let known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        let pages = [
            include_str!("../../../docs/operating.md"),
            include_str!("../../../docs/troubleshooting.md"),
            include_str!("../../../docs/install.md"),
            include_str!("../../../docs/migrating-from-rabbitmq.md"),
            include_str!("../../../README.md"),
        ];
        for rest in pages.iter().flat_map(|page| page.split("kubectl mq ").skip(1)) {
            let typed: String =
                rest.chars().take_while(|letter| letter.is_ascii_alphabetic() || *letter == '-').collect();
            let is_prose = rest.starts_with(|letter: char| !letter.is_ascii_alphabetic()) || typed == "is";
            assert!(is_prose || known.contains(&typed.as_str()), "`kubectl mq {typed}` is in the pages, and not there");
        }
    }

    #[test]
    fn the_namespace_may_stand_anywhere() {
        let typed = Arguments::try_parse_from(["kubectl-mq", "status", "orders", "-n", "shop", "-o", "json"]).unwrap();
        assert_eq!(typed.namespace.as_deref(), Some("shop"));
        assert!(matches!(typed.command, Command::Status { output: Output { output: Format::Json }, .. }));
    }
}
