//! How a cluster is formed: once, by whoever keeps the record of it (the operator in the MessageQueue's status, `dev` in
//! its data directory), by `POST /admin/v1/form` to one of the members.

use serde::{Deserialize, Serialize};

use crate::RestoreOrder;

/// A cluster to be formed. Sent again it is answered as before; another one is refused with
/// [`Reason::AlreadyFormed`](crate::Reason::AlreadyFormed).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Formation {
    /// The new cluster's id: a UUID, recorded before this is sent.
    pub cluster_id: String,
    /// Its first nodes; each must be reachable and unformed, and be who it is said to be.
    pub members: Vec<Member>,
    /// Mirrors of a queue that asks for no number.
    pub default_mirrors: u8,
    /// Its first users; each may do everything.
    pub users: Vec<NewUser>,
    /// What it begins with, where that is what another cluster had: `restoreFrom` of the brokers' configuration says which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreOrder>,
}

/// A first node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Its place in the StatefulSet.
    pub ordinal: u32,
    /// Its identity, as its `NodeStatus` says it.
    pub uuid: String,
    /// Its zone, where it has one.
    pub zone: Option<String>,
}

/// A user to be made, or (`PUT /admin/v1/users`) to be given a new password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewUser {
    /// The name.
    pub name: String,
    /// The password; kept only as a hash.
    pub password: String,
    /// May log in only from the broker's own machine.
    #[serde(default)]
    pub loopback_only: bool,
}
