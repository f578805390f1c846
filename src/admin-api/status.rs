//! What a node and its cluster say of themselves.

use serde::{Deserialize, Serialize};

use crate::{ArchiveView, RestorationView};

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// It has no data and belongs to no cluster: it asks its peers to take it in, and waits to be told to form one.
    Unformed,
    /// It was taken in, and is being filled.
    Joining,
    /// It has data, and looks for the rest of its cluster.
    Starting,
    /// It serves clients.
    Serving,
    /// It hands its work over and will stop.
    Stopping,
}

/// `GET /admin/v1/node`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its place in the StatefulSet.
    pub ordinal: u32,
    /// Its identity: a UUID, written when its data directory was made.
    pub uuid: String,
    /// Where it is in its life.
    pub phase: Phase,
    /// Why it is there, as a sentence.
    pub message: String,
    /// The cluster it belongs to.
    pub cluster_id: Option<String>,
    /// Its number in that cluster; never used again for another.
    pub node_id: Option<u64>,
    /// The version that runs.
    pub version: String,
    /// How full the disk is that its data is on, where that can be told.
    #[serde(default)]
    pub disk: Option<DiskUse>,
    /// The certificates that it serves with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateView>,
    /// How it is with what it archives; none where it archives nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveView>,
    /// How far the cluster is with what it begins with, where that is what another one had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restoration: Option<RestorationView>,
}

/// How full a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskUse {
    /// Bytes that are used, by whomever.
    pub used_bytes: u64,
    /// Bytes that are used, and those that the broker can still take.
    pub capacity_bytes: u64,
}

/// A certificate that a node serves with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateView {
    /// What for.
    pub purpose: CertificatePurpose,
    /// Its number, as hexadecimal digits; none where there is no certificate to serve with.
    pub serial: Option<String>,
    /// Seconds of the epoch until which it is good.
    pub not_after: Option<u64>,
    /// What is wrong with the files that it is read from; the one before goes on serving then.
    pub problem: Option<String>,
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CertificatePurpose {
    /// Listeners for clients.
    Clients,
    /// Links between brokers, and the admin API.
    Cluster,
}

/// `GET /admin/v1/cluster`: asked of any node that serves; `409 NotFormed` elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// The cluster's id.
    pub cluster_id: String,
    /// The node that leads the catalogue.
    pub catalogue_leader: Option<u64>,
    /// Its nodes, by number.
    pub nodes: Vec<NodeView>,
    /// Its shards, by number.
    pub shards: Vec<ShardView>,
    /// Messages in all queues.
    pub messages: u64,
    /// Queues in all virtual hosts.
    pub queues: u64,
}

/// A node, as its cluster sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    /// Its number.
    pub id: u64,
    /// Its place in the StatefulSet.
    pub ordinal: u32,
    /// Its identity.
    pub uuid: String,
    /// Its zone, where it has one.
    pub zone: Option<String>,
    /// The node that answered hears from it.
    pub reachable: bool,
    /// The version that it runs, where known.
    pub version: Option<String>,
    /// Shards that it leads.
    pub leaders: u32,
    /// Shards that it holds a replica of, or is to hold one of; the catalogue is not one of them.
    pub replicas: u32,
    /// It is being emptied: once it holds no replicas, it can be removed.
    #[serde(default)]
    pub draining: bool,
}

/// A shard, as its cluster sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardView {
    /// Its number; 0 is the catalogue.
    pub id: u32,
    /// The nodes that are to hold it.
    pub placed_on: Vec<u64>,
    /// The nodes that vote in it now.
    pub voters: Vec<u64>,
    /// The node that leads it.
    pub leader: Option<u64>,
    /// The voters that have all that is committed, or nearly.
    pub in_sync: Vec<u64>,
    /// It has a leader, its voters are as placed, and all of them are in sync.
    pub healthy: bool,
}

/// `GET /admin/v1/safe-to-stop`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Safety {
    /// Every shard of this node keeps its majority, in sync, without it.
    pub safe: bool,
    /// Why not, as a sentence.
    pub reason: String,
}
