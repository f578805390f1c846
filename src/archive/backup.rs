//! What a backup is: for each shard a base and an index.

use serde::{Deserialize, Serialize};

/// A backup that is complete: what it names is in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// Its name.
    pub name: String,
    /// What it was made for, by whoever asked: the uid of a resource. Another one of the same name is another backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_for: Option<String>,
    /// The id of the cluster that it is of.
    pub cluster_id: String,
    /// The version of the brokers that made it.
    pub version: String,
    /// When it was begun, in milliseconds since 1970.
    pub began_at: u64,
    /// When the last of its cuts was made, in milliseconds since 1970.
    pub ended_at: u64,
    /// The cut: the catalogue first, and then each shard.
    pub shards: Vec<ShardCut>,
    /// Bytes of its bases, before they are compressed.
    pub bytes: u64,
}

/// Where a backup ends in a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardCut {
    /// The shard; 0 is the catalogue.
    pub group: u32,
    /// The base that a restore begins with.
    pub base: String,
    /// The last entry that is in the backup.
    pub upto: u64,
    /// Of the state after that entry: see [`StateDigest`](crate::StateDigest).
    pub digest: String,
}

/// Whose archive it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRecord {
    /// The cluster's id.
    pub cluster_id: String,
    /// Its name, for people to read.
    pub name: String,
    /// When its archive was begun, in milliseconds since 1970.
    pub began_at: u64,
}
