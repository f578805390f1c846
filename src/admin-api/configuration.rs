//! The file that a broker starts with (JSON). Nothing in it changes when the cluster is scaled, so that scaling restarts
//! no broker.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ArchiveConfiguration;

/// A broker's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    /// The MessageQueue's name, for people to read.
    pub cluster: String,
    /// Where the node keeps its data.
    pub data_directory: PathBuf,
    /// Link address of the node with an ordinal, `{ordinal}` in its place: `orders-{ordinal}.orders-nodes.shop.svc:7400`.
    pub peer_address: String,
    /// Where the node listens for links of other nodes, `0.0.0.0:7400`; `{ordinal}` is replaced here too.
    pub link_listen: String,
    /// Where it listens for the admin API, `0.0.0.0:7500`.
    pub admin_listen: String,
    /// Where it serves its metrics, `0.0.0.0:9419`, to whoever asks; nowhere where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_listen: Option<String>,
    /// File with the token that admin calls and links must show; both sides trim white space.
    pub token_file: PathBuf,
    /// Where it listens for clients.
    pub listeners: Vec<Listener>,
    /// TLS of links between brokers and of the admin API; plain connections where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_tls: Option<InternalTls>,
    /// Most bytes of memory that messages may take before publishers wait; a share of what the machine
    /// or its container has, where none is given.
    #[serde(default)]
    pub memory_high_water_bytes: Option<u64>,
    /// Where the cluster is archived; nowhere where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveConfiguration>,
    /// The archive of the cluster whose messages this one begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_from: Option<ArchiveConfiguration>,
}

/// One port for clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Address and port: `0.0.0.0:5672`.
    pub address: String,
    /// Directory with the certificate (`tls.crt`) and key (`tls.key`) of a listener that speaks TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<PathBuf>,
}

/// TLS within a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InternalTls {
    /// Directory with the certificate (`tls.crt`), its key (`tls.key`) and the cluster's own authorities (`ca.crt`). A file
    /// `accept-plain` in it that says `true` lets links without TLS in, too.
    pub directory: PathBuf,
    /// The name that certificates of this cluster's brokers are for: `orders-nodes.shop.svc`.
    pub name: String,
}

/// A protocol of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// AMQP 0-9-1.
    Amqp,
}
