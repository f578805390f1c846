//! `Backup`: one backup of one cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{InvalidResource, Problem, sentence};

/// What is to be backed up. A backup is made once: of a resource that is there already, only what becomes of it can be
/// changed.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "ferrymq.io",
    version = "v1alpha1",
    kind = "Backup",
    plural = "backups",
    shortname = "mqb",
    category = "messaging",
    namespaced,
    status = "BackupStatus",
    derive = "PartialEq",
    doc = "A backup of a cluster of message brokers.",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(
        name = "Complete",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Complete")].status"#
    ),
    printcolumn(name = "Shards", type_ = "string", json_path = ".status.progress"),
    printcolumn(name = "Bytes", type_ = "integer", json_path = ".status.bytes"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    validation = Rule::new("self.metadata.name.size() <= 200").message(sentence::BACKUP_NAME)
)]
#[serde(rename_all = "camelCase")]
pub struct BackupSpec {
    /// The `MessageQueue` of the same namespace that is backed up. Its `spec.backup` says where.
    #[schemars(length(max = 253))]
    #[x_kube(
        validation = Rule::new("self.size() > 0").message(sentence::BACKUP_CLUSTER),
        validation = Rule::new("self == oldSelf").message(sentence::BACKUP_CLUSTER_CHANGED),
    )]
    pub cluster: String,

    /// What becomes of what is in the archive when this resource is deleted. It always stays where the cluster or the
    /// namespace is deleted.
    #[serde(default)]
    pub deletion_policy: BackupDeletionPolicy,
}

/// What becomes of a backup when its resource is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum BackupDeletionPolicy {
    /// It stays in the archive.
    #[default]
    Retain,
    /// It goes, with all that no other backup needs.
    Delete,
}

/// What a backup is.
#[derive(KubeSchema, Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// The generation of the resource that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The folder of the cluster in the archive: what `restoreFrom.cluster` may say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,

    /// Shards that are in the archive, of all: `3/13`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,

    /// Bytes of it, before they are compressed. The log that was archived before belongs to it, and is not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,

    /// When it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// When it was complete: it has what was confirmed before `startTime`, and nothing that was confirmed later than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,

    /// When it was restored to see whether it can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<BackupVerification>,

    /// What holds of it, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
}

/// When a backup was restored to see whether it can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupVerification {
    /// The annotation `ferrymq.io/verify` that asked for it.
    pub request: String,
    /// When it ended; none where it did not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
}

/// A `Backup` whose every field was checked. Made by [`CheckedBackup::check`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckedBackup {
    /// Its name, in Kubernetes and in the archive.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The generation of its resource, where it comes from an API server.
    pub generation: Option<i64>,
    /// The `MessageQueue` that is backed up.
    pub cluster: String,
    /// What becomes of it when the resource goes.
    pub deletion_policy: BackupDeletionPolicy,
}

impl CheckedBackup {
    /// Checks every field of a resource.
    ///
    /// # Errors
    ///
    /// [`InvalidResource`] with all that is wrong.
    pub fn check(resource: &Backup) -> Result<Self, InvalidResource> {
        let mut problems = Vec::new();
        if resource.spec.cluster.is_empty() {
            problems.push(Problem::new("spec.cluster", sentence::BACKUP_CLUSTER));
        }
        if resource.name_any().len() > 200 {
            problems.push(Problem::new("metadata.name", sentence::BACKUP_NAME));
        }
        InvalidResource::unless_empty(problems)?;
        Ok(Self {
            name: resource.name_any(),
            namespace: resource.namespace().unwrap_or_else(|| "default".to_owned()),
            generation: resource.metadata.generation,
            cluster: resource.spec.cluster.clone(),
            deletion_policy: resource.spec.deletion_policy,
        })
    }
}
