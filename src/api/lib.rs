//! The custom resources of `ferrymq.io/v1alpha1`, what they may say, and what is made of them.
//!
//! ```text
//!   YAML file ----parse----+
//!                          v
//!   API server ------> MessageQueue, Topic, User --check--> Cluster, CheckedTopic, CheckedUser    (types that cannot be wrong)
//!                          |
//!                          +--generate--> crds/, charts/ferrymq/templates/crds/, docs/reference.md, docs/conditions.md
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `message_queue.rs`, `message_queue_status.rs` | [`MessageQueue`]: a cluster of brokers |
//! | `topic.rs`, `topic_status.rs` | [`Topic`]: an exchange, its bindings and its queues |
//! | `user.rs`, `user_status.rs` | [`User`]: who may log in, and what it may do |
//! | `backup.rs` | [`Backup`]: one backup of one cluster |
//! | `backup_settings.rs` | where a cluster is archived, when backups are made, what a new one begins with |
//! | `listener.rs`, `exposure.rs`, `tls.rs` | a cluster's ports for clients: what is spoken there, from where they are reached, TLS |
//! | `network_policy.rs` | who may reach the brokers at all |
//! | `condition.rs` | every type of condition, and every reason, with the sentence that documents it |
//! | `sentence.rs` | what is said of a wrong field, at admission and elsewhere |
//! | `cluster.rs`, `checked_topic.rs`, `checked_user.rs` | the checked forms |
//! | `upgrade.rs` | when brokers may be restarted |
//! | `quantity.rs`, `time_span.rs` | sizes and times as people write them |
//! | `parse.rs`, `yaml.rs` | a file of resources, with line and field of what is wrong in it |
//! | `generate.rs`, `reference/` | the files made from these types: definitions, and the pages that document them |
//! | `examples/` | an example of each kind, which these pages show |
//!
//! Invariant: what the API server admits by its rules, the check admits, but for what only several resources together
//! can tell, and the details of a crontab or of an IPv6 address; both say the same sentences.

// KubeSchema repeats each type inside of a function, where `pub` reaches nobody.
#![allow(unreachable_pub)]

mod backup;
mod backup_settings;
mod checked_topic;
mod checked_user;
mod cluster;
mod condition;
mod exposure;
mod generate;
mod invalid;
mod listener;
mod message_queue;
mod message_queue_status;
mod network_policy;
mod parse;
mod quantity;
mod reference;
#[cfg(test)]
mod rules;
mod sentence;
mod time_span;
mod tls;
mod topic;
mod topic_status;
mod upgrade;
mod user;
mod user_status;
mod yaml;

pub use backup::{Backup, BackupDeletionPolicy, BackupSpec, BackupStatus, BackupVerification, CheckedBackup};
pub use backup_settings::{
    ArchiveSource, AzureDestination, BackupDestination, BackupPlan, BackupRetention, BackupSettings, GcsDestination,
    RestorePlan, RestoreSettings, S3Destination, Schedule, VolumeClaimDestination,
};
pub use checked_topic::{CheckedLog, CheckedQueue, CheckedTopic};
pub use checked_user::CheckedUser;
pub use cluster::{Cluster, ClusterStorage, PodSettings};
pub use condition::{ConditionType, Reason, condition, to_the_second};
pub use exposure::{ExposeSpec, ExposeType, Exposure, TrafficPolicy};
pub use generate::{GeneratedFile, crds, crds_yaml, generated_files};
pub use invalid::{InvalidResource, Problem};
pub use listener::{ListenerPort, ListenerProtocol, ListenerSpec};
pub use message_queue::{
    AutoGrow, BrokerConfig, ImagePullPolicy, MessageQueue, MessageQueueSpec, PodTemplate, ReclaimPolicy,
    SecretReference, StorageSpec, TopologySpread,
};
pub use message_queue_status::{
    BackupSummary, Binding, BrokerEndpoint, Endpoint, FormationRecord, MemberRecord, MessageQueueStatus, NodeState,
    NodeSummary, PlanWaitsFor, RestoredSummary, ShardSummary, UpdatePlan,
};
pub use network_policy::{NetworkPolicyMode, NetworkPolicySpec};
pub use parse::{ParseError, Resource, parse_resources};
pub use quantity::{InvalidQuantity, Quantity};
pub use time_span::{InvalidTimeSpan, TimeSpan};
pub use tls::{CertificateSource, ClusterTls, IssuerReference, Lives, TlsMode, TlsSpec};
pub use topic::{
    AdoptionPolicy, DeletionPolicy, ExchangeType, Retention, Topic, TopicBindingSpec, TopicQueueSpec, TopicSpec,
};
pub use topic_status::{TopicQueueStatus, TopicStatus};
pub use upgrade::{Approval, MaintenanceWindow, UpgradePolicy, UpgradeSpec, Window};
pub use user::{PasswordSecret, PermissionSpec, User, UserDeletionPolicy, UserSpec};
pub use user_status::UserStatus;

/// The API group.
pub const GROUP: &str = "ferrymq.io";

/// The API version.
pub const VERSION: &str = "v1alpha1";
