//! A user as it is declared, and as it is.

use serde::{Deserialize, Serialize};

use crate::Owner;

/// `PUT /admin/v1/user`: a user, its password, and what it may do.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserDeclaration {
    /// Its name.
    pub name: String,
    /// Who declares it.
    pub owner: Owner,
    /// Its password; kept only as a hash.
    pub password: String,
    /// What its owner calls this state of the password. Where it is the one that is kept, the password is not looked at.
    pub password_version: String,
    /// What it may do, at most once a virtual host; without any it can log in, and use no virtual host.
    #[serde(default)]
    pub permissions: Vec<Permission>,
}

impl std::fmt::Debug for UserDeclaration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserDeclaration").field("name", &self.name).field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// What a user may do on a virtual host: regular expressions for the names of exchanges and queues. They match anywhere in a
/// name unless they say where; an empty one matches no name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permission {
    /// The virtual host.
    pub virtual_host: String,
    /// What it may make and delete.
    #[serde(default)]
    pub configure: String,
    /// What it may publish to, and bind.
    #[serde(default)]
    pub write: String,
    /// What it may consume from, and bind queues to.
    #[serde(default)]
    pub read: String,
}

/// `DELETE /admin/v1/user`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRemoval {
    /// Its name.
    pub name: String,
    /// Who declared it; another's user is left alone, and the answer is success.
    pub owner_uid: String,
    /// `true`: it goes, and its clients are let go. `false`: it stays, and has no owner any more.
    pub delete: bool,
}

/// `GET /admin/v1/users`: one user as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    /// Its name.
    pub name: String,
    /// What was declared last; none of a user of the cluster itself, which may do everything.
    pub declared: Option<UserDeclared>,
}

/// What was declared of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserDeclared {
    /// Who declared it; none where it was given up.
    pub owner: Option<Owner>,
    /// What its owner called its password.
    pub password_version: String,
    /// What it may do.
    pub permissions: Vec<Permission>,
}
