//! `User`: who may log in to a cluster, and what it may do there.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{UserStatus, sentence};

/// What a user should be.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "ferrymq.io",
    version = "v1alpha1",
    kind = "User",
    plural = "users",
    shortname = "mqu",
    category = "messaging",
    namespaced,
    status = "UserStatus",
    derive = "PartialEq",
    doc = "A user of a cluster of message brokers: its password, and what it may do.",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.binding.name"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    validation = Rule::new("self.metadata.name.size() <= 200").message(sentence::USER_RESOURCE_NAME)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.name) == has(oldSelf.name) && (!has(self.name) || self.name == oldSelf.name)").message(sentence::USER_NAME_CHANGED),
)]
pub struct UserSpec {
    /// The `MessageQueue` of the same namespace that it is a user of.
    #[schemars(length(max = 253))]
    #[x_kube(
        validation = Rule::new("self.size() > 0").message(sentence::USER_CLUSTER),
        validation = Rule::new("self == oldSelf").message(sentence::USER_CLUSTER_CHANGED),
    )]
    pub cluster: String,

    /// The name that it logs in with. Default: the name of this resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    #[x_kube(validation = Rule::new("self.size() > 0 && !self.matches('[\\\\x00-\\\\x1f\\\\x7f]')").message(sentence::USER_NAME))]
    pub name: Option<String>,

    /// The Secret with its password. Default: a password is made, and is in the Secret that `status.binding` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret: Option<PasswordSecret>,

    /// What it may do, by virtual host. Default: nothing; it can log in then, and no virtual host lets it in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["virtualHost".to_owned()]))]
    pub permissions: Vec<PermissionSpec>,

    /// What becomes of the user when this resource is deleted.
    #[serde(default)]
    pub deletion_policy: UserDeletionPolicy,
}

/// Where a password is.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PasswordSecret {
    /// A Secret of the same namespace.
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.size() > 0").message(sentence::PASSWORD_SECRET))]
    pub name: String,

    /// The key of the user's name in it, which must be the name of this user. Default: none is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.size() > 0").message(sentence::SECRET_KEY))]
    pub username_key: Option<String>,

    /// The key of the password in it.
    #[serde(default = "password_key")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.size() > 0").message(sentence::SECRET_KEY))]
    pub password_key: String,
}

fn password_key() -> String {
    "password".to_owned()
}

fn root() -> String {
    "/".to_owned()
}

/// What a user may do on a virtual host: regular expressions for the names of exchanges and queues. They match anywhere in a
/// name unless they say where, as `^orders\\.` does; an empty one matches no name, `.*` every one. The default exchange is
/// called `amq.default` here.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PermissionSpec {
    /// The virtual host.
    #[serde(default = "root")]
    #[schemars(length(max = 255))]
    #[x_kube(validation = Rule::new("self.size() > 0 && !self.matches('[\\\\x00\\\\n\\\\r]')").message(sentence::VIRTUAL_HOST))]
    pub virtual_host: String,

    /// What it may make and delete.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new("'amq.topic'.matches(self) in [true, false]").message(sentence::EXPRESSION))]
    pub configure: String,

    /// What it may publish to, and bind.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new("'amq.topic'.matches(self) in [true, false]").message(sentence::EXPRESSION))]
    pub write: String,

    /// What it may consume from, and bind queues to.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new("'amq.topic'.matches(self) in [true, false]").message(sentence::EXPRESSION))]
    pub read: String,
}

/// What becomes of a user when its resource is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum UserDeletionPolicy {
    /// It goes, and its connections are closed.
    #[default]
    Delete,
    /// It stays in the broker with its password and permissions, and belongs to nobody.
    Retain,
}
