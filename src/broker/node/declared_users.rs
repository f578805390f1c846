//! Users as the admin API declares them.

use std::collections::BTreeSet;

use ferrymq_core::{Refusal, VirtualHostName};

use super::Inner;
use crate::{
    catalogue::{Answer, Command, Denied, PermissionRecord, UserSpec},
    refusal::refusal_of,
    rights::Pattern,
};

/// The most bytes of a user's name, and of a password.
const MOST_BYTES: usize = 255;
/// The most virtual hosts that a user may have permissions on.
const MOST_PERMISSIONS: usize = 64;

/// A user, as it is declared.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Who declares it, for people.
    pub owner_name: String,
    /// Who declares it.
    pub owner_uid: String,
    /// Its password; kept only as a hash.
    pub password: String,
    /// What its owner calls this state of the password: where it is the one that is kept, the password is not looked at.
    pub password_version: String,
    /// What it may do; nothing where there is none.
    pub permissions: Vec<UserPermission>,
}

/// What a user may do on a virtual host: regular expressions for the names of exchanges and queues; an empty one matches none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPermission {
    /// The virtual host.
    pub virtual_host: String,
    /// What it may make and delete.
    pub configure: String,
    /// What it may publish to, and bind.
    pub write: String,
    /// What it may consume from, and bind queues to.
    pub read: String,
}

/// A user, as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserView {
    /// Its name.
    pub name: String,
    /// What was declared; none of a user that the cluster was formed with, which may do everything.
    pub declared: Option<UserDeclared>,
}

/// What was declared of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDeclared {
    /// Who declared it, for people; empty where it is nobody's any more.
    pub owner_name: String,
    /// Who declared it.
    pub owner_uid: String,
    /// What its owner called its password.
    pub password_version: String,
    /// What it may do.
    pub permissions: Vec<UserPermission>,
}

/// Why a user was not declared or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserRefusal {
    /// What was sent makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Another owner has it.
    #[error("it belongs to {owner}")]
    Owned {
        /// Who.
        owner: String,
    },
    /// The cluster was formed with it.
    #[error("user '{name}' belongs to the cluster itself, and may do everything; give this one another name")]
    OfCluster {
        /// The user.
        name: String,
    },
    /// A virtual host that it names is not there.
    #[error("there is no virtual host '{name}'")]
    NoVirtualHost {
        /// The virtual host.
        name: String,
    },
    /// Not now.
    #[error("{0}")]
    Unavailable(String),
}

impl From<Refusal> for UserRefusal {
    fn from(refusal: Refusal) -> Self {
        Self::Unavailable(refusal.to_string())
    }
}

impl From<Denied> for UserRefusal {
    fn from(why: Denied) -> Self {
        match why {
            Denied::Owned { owner } => Self::Owned { owner },
            Denied::UserOfCluster { name } => Self::OfCluster { name },
            Denied::NotFound { name, .. } => Self::NoVirtualHost { name },
            why => Self::Unavailable(refusal_of(why, "/").to_string()),
        }
    }
}

impl Inner {
    pub(super) async fn declare_user_as(&self, user: User) -> Result<UserView, UserRefusal> {
        check(&user)?;
        let password = user.password.clone();
        let spec = spec_of(user);
        let kept = self.catalogue(|catalogue| catalogue.declared_user(&spec.name).cloned())?;
        if kept.as_ref() != Some(&spec) {
            let same = kept.is_some_and(|kept| kept.password_version == spec.password_version);
            let password_hash = match same {
                true => None,
                false => Some(self.hash_password(password).await.map_err(UserRefusal::Unavailable)?),
            };
            if let Answer::Denied(why) = self.change(Command::DeclareUser { user: spec.clone(), password_hash }).await?
            {
                return Err(why.into());
            }
        }
        Ok(UserView { name: spec.name.clone(), declared: Some(declared(&spec)) })
    }

    pub(super) fn user_views(&self) -> Result<Vec<UserView>, UserRefusal> {
        let views = self.catalogue(|catalogue| {
            let view =
                |name: &String| UserView { name: name.clone(), declared: catalogue.declared_user(name).map(declared) };
            catalogue.records.users.keys().map(view).collect()
        })?;
        Ok(views)
    }

    pub(super) async fn remove_user_of(&self, name: &str, owner_uid: &str, delete: bool) -> Result<(), UserRefusal> {
        let (name, owner_uid) = (name.to_owned(), owner_uid.to_owned());
        match self.change(Command::RemoveUser { name, owner_uid, delete }).await? {
            Answer::Denied(why) => Err(why.into()),
            _ => Ok(()),
        }
    }
}

fn check(user: &User) -> Result<(), UserRefusal> {
    let name = &user.name;
    let invalid = |why: String| Err(UserRefusal::Invalid(format!("user '{name}': {why}")));
    if name.is_empty() || name.len() > MOST_BYTES || name.bytes().any(|byte| byte.is_ascii_control()) {
        return invalid(format!("a name has 1 to {MOST_BYTES} bytes, and no control characters"));
    }
    if user.owner_uid.is_empty() || user.password_version.is_empty() {
        return invalid("its owner and the version of its password are needed".to_owned());
    }
    if user.password.is_empty() || user.password.len() > MOST_BYTES {
        return invalid(format!("a password has 1 to {MOST_BYTES} bytes"));
    }
    if user.permissions.len() > MOST_PERMISSIONS {
        return invalid(format!("at most {MOST_PERMISSIONS} virtual hosts are allowed"));
    }
    let mut hosts = BTreeSet::new();
    for permission in &user.permissions {
        let host = &permission.virtual_host;
        if let Err(error) = VirtualHostName::new(host.clone()) {
            return invalid(format!("virtual host '{host}': {error}"));
        }
        if !hosts.insert(host) {
            return invalid(format!("virtual host '{host}' is there twice"));
        }
        let expressions =
            [("configure", &permission.configure), ("write", &permission.write), ("read", &permission.read)];
        for (what, expression) in expressions {
            if let Err(error) = Pattern::new(expression) {
                let shown: String = expression.chars().take(80).collect();
                return invalid(format!("'{shown}', {what} on '{host}', is no regular expression: {error}"));
            }
        }
    }
    Ok(())
}

fn spec_of(user: User) -> UserSpec {
    let permission = |permission: UserPermission| PermissionRecord {
        virtual_host: permission.virtual_host,
        configure: permission.configure,
        write: permission.write,
        read: permission.read,
    };
    UserSpec {
        name: user.name,
        owner_name: user.owner_name,
        owner_uid: user.owner_uid,
        password_version: user.password_version,
        permissions: user.permissions.into_iter().map(permission).collect(),
    }
}

fn declared(spec: &UserSpec) -> UserDeclared {
    let permission = |permission: &PermissionRecord| UserPermission {
        virtual_host: permission.virtual_host.clone(),
        configure: permission.configure.clone(),
        write: permission.write.clone(),
        read: permission.read.clone(),
    };
    UserDeclared {
        owner_name: spec.owner_name.clone(),
        owner_uid: spec.owner_uid.clone(),
        password_version: spec.password_version.clone(),
        permissions: spec.permissions.iter().map(permission).collect(),
    }
}
