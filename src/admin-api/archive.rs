//! Where a cluster's archive is, how it is with it, and backups.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// An archive, in the file that a broker starts with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArchiveConfiguration {
    /// The store or directory.
    pub destination: ArchiveDestination,
    /// The folder that the cluster has there: `shop/orders/<uid>`.
    pub folder: String,
    /// A directory with what nobody else is to know, in files: `access-key-id` and `secret-access-key` of S3,
    /// `service-account.json` of Google, `access-key` of Azure, and `encryption-key` where objects are encrypted. What is not
    /// there is what the machine or the pod has by itself; objects are not encrypted then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<PathBuf>,
    /// Objects are encrypted: without a key nothing is written.
    #[serde(default)]
    pub encrypted: bool,
    /// Most bytes of logs that are kept on the disk because they are not archived yet; a quarter of the disk where none is
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_held_bytes: Option<u64>,
    /// Most bytes that a broker gives to the archive a second, before they are compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_bytes_a_second: Option<u64>,
}

/// A store or directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum ArchiveDestination {
    /// A directory that is there, such as one of a mounted volume.
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// A bucket of Amazon S3, or of a store that speaks as it does.
    S3 {
        /// The bucket.
        bucket: String,
        /// What the names of objects begin with; may be empty.
        #[serde(default)]
        prefix: String,
        /// The URL of the store; Amazon's where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<String>,
        /// The region; `us-east-1` where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
    },
    /// A bucket of Google Cloud Storage.
    Gcs {
        /// The bucket.
        bucket: String,
        /// What the names of objects begin with; may be empty.
        #[serde(default)]
        prefix: String,
    },
    /// A container of Azure Blob Storage.
    Azure {
        /// The storage account.
        account: String,
        /// The container.
        container: String,
        /// What the names of objects begin with; may be empty.
        #[serde(default)]
        prefix: String,
    },
}

/// How it is with what a node archives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveView {
    /// Why nothing is archived, as a sentence; none where all is well.
    pub problem: Option<String>,
    /// Since when, in milliseconds since 1970.
    pub failing_since: Option<u64>,
    /// The destination took something since the node started.
    pub reached: bool,
    /// All that the shards which the node leads confirmed before this time is archived, in milliseconds since 1970.
    pub archived_until: Option<u64>,
    /// How long the oldest entry waits that is not archived, in milliseconds, of the shards that the node leads.
    pub lag_milliseconds: u64,
    /// Bytes that are kept on the disk because they are not archived.
    pub held_bytes: u64,
    /// Gaps that came into the archive since the node started.
    pub gaps: u64,
    /// When the last one came, in milliseconds since 1970.
    pub last_gap_at: Option<u64>,
}

/// `POST /admin/v1/backup`: a backup of the whole cluster is to be made, or one is asked for that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupRequest {
    /// Its name.
    pub name: String,
    /// What it is made for, such as the uid of a resource: [`BackupView::made_for`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_for: Option<String>,
}

/// `DELETE /admin/v1/backup`: a backup goes, and what no other backup needs. Success where it is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupRemoval {
    /// Its name.
    pub name: String,
}

/// Where a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackupState {
    /// It is being made.
    Running,
    /// It is in the archive.
    Completed,
    /// It was given up; whoever asks for it again begins it anew.
    Failed,
}

/// A backup, as the node that makes it knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupView {
    /// Its name.
    pub name: String,
    /// What it was made for, as was said when it was asked for first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_for: Option<String>,
    /// Where it is.
    pub state: BackupState,
    /// Shards that are done; the catalogue is one of them.
    pub shards_done: u32,
    /// All of them.
    pub shards: u32,
    /// Bytes of it so far, before they are compressed.
    pub bytes: u64,
    /// When it was begun, in milliseconds since 1970.
    pub began_at: u64,
    /// When it ended, in milliseconds since 1970.
    pub ended_at: Option<u64>,
    /// Why it was given up, or what it is at, as a sentence.
    pub message: String,
}

/// As of when a new cluster is to have what another one had: of a backup, of a time, or else all that is archived.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreOrder {
    /// A backup's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// Right before this time, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<u64>,
    /// What is damaged or missing is left out, and listed.
    #[serde(default)]
    pub allow_partial: bool,
}

/// How far a cluster is that begins with what another one had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestorationView {
    /// The folder of the archive.
    pub folder: String,
    /// What of it, in words.
    pub what: String,
    /// Shards that there are to restore.
    pub shards: u32,
    /// Those that are not there yet.
    pub left: u32,
    /// Why some are not, or what is left out of them, a sentence each.
    pub problems: Vec<String>,
    /// What was left out, a sentence each.
    pub missing: Vec<String>,
}
