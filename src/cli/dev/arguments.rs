//! What is typed.

use std::path::PathBuf;

use clap::Args;

/// Runs a whole cluster on this machine, from the YAML that Kubernetes takes: one MessageQueue and its Topics.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// The file with the resources. It is applied again whenever it is saved.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub file: PathBuf,

    /// Where the brokers keep their data; found again by the next start.
    #[arg(long, value_name = "DIR", default_value = "ferrymq-data")]
    pub data_dir: PathBuf,

    /// Another place for the ports: clients from this port on, links from 10 above it, the admin API from 20 above it.
    /// Divisible by 10. Without it the first broker listens at the standard ports, and each further one at the next.
    #[arg(long, value_name = "PORT")]
    pub base_port: Option<u16>,
}
