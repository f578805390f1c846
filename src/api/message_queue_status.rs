//! What a cluster of brokers is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a cluster of brokers is.
#[derive(KubeSchema, Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageQueueStatus {
    /// The generation of the resource that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Brokers that there are.
    #[serde(default)]
    pub replicas: i32,

    /// Brokers that serve clients.
    #[serde(default)]
    pub ready_replicas: i32,

    /// The labels of the brokers' pods, as a selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,

    /// The version that runs; several, while it is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,

    /// How the cluster was formed. Written before it is formed; while it stands, no second cluster is ever formed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formation: Option<FormationRecord>,

    /// Which state of the credentials' Secret the brokers were told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_version: Option<String>,

    /// The brokers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub nodes: Vec<NodeSummary>,

    /// The restarts that are to come, in their order; none where every broker runs what it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<UpdatePlan>,

    /// The shards: what is replicated together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<ShardSummary>,

    /// Messages in all queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<i64>,

    /// Queues in all virtual hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queues: Option<i64>,

    /// The backups that there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupSummary>,

    /// What the cluster was made of, where that is what another one had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<RestoredSummary>,

    /// Where clients connect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub endpoints: Vec<Endpoint>,

    /// The Secret with all that a client needs, in the form of the service binding specification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,

    /// What holds of it, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
}

/// How a cluster was formed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FormationRecord {
    /// The cluster's id.
    pub cluster_id: String,

    /// Its first brokers; none where the cluster was found on volumes that had been retained.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberRecord>,

    /// On how many brokers a queue is kept that says nothing of it itself; unknown where the cluster was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirrors: Option<i32>,

    /// When this was written.
    pub time: Time,

    /// A broker said that it belongs to this cluster.
    #[serde(default)]
    pub complete: bool,
}

/// A first broker of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberRecord {
    /// Its place in the StatefulSet.
    pub ordinal: i32,
    /// Its identity, as its data directory had it.
    pub uuid: String,
}

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeSummary {
    /// Its pod.
    pub name: String,
    /// Its number in the cluster; another one after it lost its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// The zone that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Where it is in its life.
    pub state: NodeState,
    /// Shards that it leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaders: Option<i32>,
    /// Shards that it holds a replica of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The version that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How full the disk is that its data is on, of a hundred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_used_percent: Option<i32>,
}

/// Where a broker is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NodeState {
    /// It has no pod, or none that runs.
    Absent,
    /// It runs and does not answer yet.
    Silent,
    /// It has no data and belongs to no cluster.
    Unformed,
    /// It was taken in, and is being filled.
    Joining,
    /// It has data, and looks for the rest of its cluster.
    Starting,
    /// It serves clients.
    Serving,
    /// It hands its work over and will stop.
    Stopping,
    /// It is emptied, and goes when it holds nothing.
    Draining,
}

/// Restarts that are to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdatePlan {
    /// What the annotation `ferrymq.io/approved-plan` approves it by.
    pub id: String,
    /// The brokers that are to be restarted, in this order, one at a time.
    pub restarts: Vec<String>,
    /// The image that they are to run.
    pub image: String,
    /// What it waits for before its next restart; none where it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<PlanWaitsFor>,
    /// When the next maintenance window opens, where it waits for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_window: Option<Time>,
}

/// What restarts wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PlanWaitsFor {
    /// Somebody who approves it.
    Approval,
    /// A maintenance window.
    MaintenanceWindow,
}

/// The backups of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupSummary {
    /// The last one that was completed.
    pub last: String,
    /// When that was.
    pub last_time: Time,
    /// A new cluster can begin with what there was at any time since this one.
    pub recoverable_from: Time,
    /// When one was last restored to see whether it can be, and could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_time: Option<Time>,
}

/// What a cluster was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RestoredSummary {
    /// The folder of the other cluster in its archive.
    pub folder: String,
    /// What of it.
    pub what: String,
    /// What was left out because it was missing or damaged, a sentence each: the first twenty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// The shards of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardSummary {
    /// How many there are.
    pub total: i32,
    /// Those that have a leader and all of their mirrors, in sync.
    pub healthy: i32,
    /// Those that have a leader, and too few mirrors in sync.
    pub under_replicated: i32,
    /// Those that have no leader, and serve nobody.
    pub without_leader: i32,
}

/// Where clients connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Endpoint {
    /// The listener.
    pub name: String,
    /// What is spoken there.
    pub protocol: String,
    /// Host and port, within the Kubernetes cluster.
    pub address: String,
    /// Host and port, from outside of it; none where it is not exposed, or nothing has given it an address yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<String>,
    /// Each broker's own, where it is exposed so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub brokers: Vec<BrokerEndpoint>,
}

/// Where clients reach one broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokerEndpoint {
    /// Its pod.
    pub name: String,
    /// Host and port, within the Kubernetes cluster.
    pub address: String,
    /// Host and port, from outside of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<String>,
}

/// A Secret in the form of the service binding specification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Binding {
    /// Its name.
    pub name: String,
}
