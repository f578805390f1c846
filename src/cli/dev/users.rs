//! Users as they are declared, and taken away when they are gone from the file. Each gets a password of its own, which is
//! kept beside the data: Secrets are Kubernetes' matter.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ferrymq_admin_api::{
    AdminError, CallError, Client, Owner, Permission, Reason as Refused, UserDeclaration, UserDeclared, UserRemoval,
    UserView,
};
use ferrymq_api::{CheckedUser, ConditionType, PermissionSpec, Reason, UserDeletionPolicy};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    conditions::Condition,
    place::{Place, PlaceError},
    reconciler::refusal,
    topics::owner_uid,
};

/// The name of the record's file.
pub(super) const FILE: &str = "users.json";

/// What was refused is tried again after this long.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// A user that was declared, or is to be: its password, and what is needed to take it away.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    /// Namespace and name of its resource.
    resource: String,
    /// The name that it logs in with.
    name: String,
    password: String,
    /// Tells this password from another one.
    password_version: String,
    /// It goes when it is gone from the file.
    delete: bool,
}

/// The users of one cluster.
pub(super) struct Users {
    recorded: Vec<Recorded>,
    wanted: Vec<CheckedUser>,
    /// Why those that are wanted are not there, and when that was tried, by resource.
    refused: BTreeMap<String, (Instant, AdminError)>,
    /// Those that are wanted and there, by resource.
    there: BTreeMap<String, UserDeclared>,
    /// Why users that are to go are still there, by name.
    going: BTreeMap<String, AdminError>,
}

impl Users {
    /// Those that were recorded in this place.
    ///
    /// # Errors
    ///
    /// [`PlaceError`] where a record is there and cannot be read.
    pub(super) fn new(place: &Place) -> Result<Self, PlaceError> {
        Ok(Self {
            recorded: place.read(FILE)?.unwrap_or_default(),
            wanted: Vec::new(),
            refused: BTreeMap::new(),
            there: BTreeMap::new(),
            going: BTreeMap::new(),
        })
    }

    /// From now on these are wanted, and those that were wanted before are not.
    ///
    /// # Errors
    ///
    /// [`PlaceError`] where that cannot be recorded; then nothing has changed.
    pub(super) fn want(&mut self, place: &Place, wanted: Vec<CheckedUser>) -> Result<(), PlaceError> {
        let recorded = recorded(&self.recorded, &wanted);
        if recorded != self.recorded {
            place.write(FILE, &recorded)?;
        }
        self.recorded = recorded;
        self.wanted = wanted;
        self.refused.clear();
        self.there.clear();
        self.going.clear();
        Ok(())
    }

    /// Takes away and declares what is to be.
    ///
    /// # Errors
    ///
    /// [`PlaceError`] where what became of it cannot be recorded.
    pub(super) async fn pass(&mut self, place: &Place, client: &Client) -> Result<Result<(), CallError>, PlaceError> {
        if self.recorded.is_empty() {
            return Ok(Ok(()));
        }
        let views = match client.users().await {
            Ok(views) => views,
            Err(error) => return Ok(Err(error)),
        };
        self.remove(place, client).await?;
        for user in &self.wanted {
            let resource = user.full_name();
            let Some(recorded) = self.recorded.iter().find(|recorded| recorded.is_of(user)) else { continue };
            let wanted = wanted(user, recorded);
            if views.iter().any(|view| view.name == user.name && view.declared.as_ref() == Some(&wanted)) {
                self.refused.remove(&resource);
                self.there.insert(resource, wanted);
                continue;
            }
            self.there.remove(&resource);
            if self.refused.get(&resource).is_some_and(|(at, _)| at.elapsed() < TRY_AGAIN) {
                continue;
            }
            match client.declare_user(&declaration(user, recorded)).await {
                Ok(UserView { declared, .. }) => {
                    self.refused.remove(&resource);
                    self.there.extend(declared.map(|declared| (resource, declared)));
                }
                Err(error) => {
                    self.refused.insert(resource, (Instant::now(), refusal(error)));
                }
            }
        }
        Ok(Ok(()))
    }

    async fn remove(&mut self, place: &Place, client: &Client) -> Result<(), PlaceError> {
        let gone = |recorded: &&Recorded| !self.wanted.iter().any(|user| recorded.is_of(user));
        for gone in self.recorded.iter().filter(gone).cloned().collect::<Vec<_>>() {
            let (name, owner_uid) = (gone.name.clone(), owner_uid(&gone.resource));
            match client.remove_user(&UserRemoval { name, owner_uid, delete: gone.delete }).await {
                Ok(()) => {
                    self.going.remove(&gone.name);
                    self.recorded.retain(|recorded| *recorded != gone);
                    place.write(FILE, &self.recorded)?;
                }
                Err(error) => {
                    self.going.insert(gone.name, refusal(error));
                }
            }
        }
        Ok(())
    }

    /// How each of them is. Where the cluster does not answer, what it said once says nothing any more.
    pub(super) fn conditions(&self, answers: bool, unreachable: Option<&str>) -> Vec<Condition> {
        let condition = |resource: &str, (holds, reason, message)| Condition {
            resource: format!("user/{}", resource.strip_prefix("default/").unwrap_or(resource)),
            kind: ConditionType::Ready,
            holds,
            reason,
            message,
        };
        let mut conditions = Vec::new();
        for user in &self.wanted {
            let resource = user.full_name();
            let password =
                self.recorded.iter().find(|recorded| recorded.is_of(user)).map(|user| user.password.as_str());
            let outcome = match (self.there.get(&resource), self.refused.get(&resource), password) {
                (Some(_), _, Some(password)) if answers => (true, Reason::Declared, ready(user, password)),
                (_, Some((_, refused)), _) if answers => (false, reason(refused.reason), refused.message.clone()),
                _ => {
                    let why = unreachable.unwrap_or("the cluster does not serve yet").to_owned();
                    (false, Reason::ClusterNotReady, why)
                }
            };
            conditions.push(condition(&resource, outcome));
        }
        for (name, refused) in &self.going {
            let message = format!("is to be deleted: {}", refused.message);
            conditions.push(condition(name, (false, reason(refused.reason), message)));
        }
        conditions
    }
}

impl Recorded {
    fn is_of(&self, user: &CheckedUser) -> bool {
        self.name == user.name && self.resource == user.full_name()
    }
}

/// What is recorded before the file's users are declared: all of them, and those that are to be taken away.
fn recorded(before: &[Recorded], wanted: &[CheckedUser]) -> Vec<Recorded> {
    let mut all: Vec<Recorded> =
        before.iter().filter(|old| !wanted.iter().any(|user| old.is_of(user))).cloned().collect();
    for user in wanted {
        let delete = user.deletion_policy == UserDeletionPolicy::Delete;
        let known = before.iter().find(|old| old.is_of(user)).cloned();
        all.push(Recorded {
            delete,
            ..known.unwrap_or_else(|| Recorded {
                resource: user.full_name(),
                name: user.name.clone(),
                password: Uuid::new_v4().simple().to_string(),
                password_version: Uuid::new_v4().to_string(),
                delete,
            })
        });
    }
    all
}

fn declaration(user: &CheckedUser, recorded: &Recorded) -> UserDeclaration {
    let resource = user.full_name();
    UserDeclaration {
        name: user.name.clone(),
        owner: Owner { uid: owner_uid(&resource), name: resource },
        password: recorded.password.clone(),
        password_version: recorded.password_version.clone(),
        permissions: permissions(user),
    }
}

/// As a broker says it of a user that is as it is wanted.
fn wanted(user: &CheckedUser, recorded: &Recorded) -> UserDeclared {
    let UserDeclaration { owner, password_version, permissions, .. } = declaration(user, recorded);
    UserDeclared { owner: Some(owner), password_version, permissions }
}

fn permissions(user: &CheckedUser) -> Vec<Permission> {
    let permission = |permission: &PermissionSpec| Permission {
        virtual_host: permission.virtual_host.clone(),
        configure: permission.configure.clone(),
        write: permission.write.clone(),
        read: permission.read.clone(),
    };
    user.permissions.iter().map(permission).collect()
}

fn ready(user: &CheckedUser, password: &str) -> String {
    let may = if user.permissions.is_empty() { ", and may do nothing: it has no permissions" } else { "" };
    format!("clients log in as {}, password {password}{may}", user.name)
}

fn reason(refused: Refused) -> Reason {
    match refused {
        Refused::Owned | Refused::Incompatible => Reason::UserConflict,
        Refused::Invalid => Reason::Invalid,
        Refused::NotFound => Reason::VirtualHostNotFound,
        _ => Reason::ClusterNotReady,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::desired::Desired, *};

    fn users(text: &[(&str, &str)]) -> Vec<CheckedUser> {
        let cluster = "apiVersion: ferrymq.io/v1alpha1\nkind: MessageQueue\nmetadata: {name: orders}\nspec: {storage: {size: 1Gi}}\n";
        let users = text.iter().map(|(name, spec)| {
            format!("---\napiVersion: ferrymq.io/v1alpha1\nkind: User\nmetadata: {{name: {name}}}\nspec: {{cluster: orders{spec}}}\n")
        });
        Desired::read(&std::iter::once(cluster.to_owned()).chain(users).collect::<String>(), "test.yaml").unwrap().users
    }

    #[test]
    fn a_password_is_made_once_and_is_another_for_each_user() {
        let before = recorded(&[], &users(&[("billing", ""), ("reader", "")]));
        assert_ne!(before[0].password, before[1].password);
        let after = recorded(&before, &users(&[("billing", ", permissions: [{read: .*}]"), ("reader", "")]));
        assert!(before == after);
    }

    #[test]
    fn a_user_that_is_going_stays_recorded_and_one_that_is_renamed_is_another() {
        let before = recorded(&[], &users(&[("billing", ", deletionPolicy: Retain")]));
        assert!(recorded(&before, &[]) == before && !before[0].delete);
        let after = recorded(&before, &users(&[("billing", ", name: other")]));
        assert_eq!(
            after.iter().map(|user| (user.name.as_str(), user.delete)).collect::<Vec<_>>(),
            [("billing", false), ("other", true)]
        );
    }

    #[test]
    fn a_user_is_declared_as_the_file_says() {
        let users = users(&[("billing", ", name: b, permissions: [{read: '^orders'}]")]);
        let declaration = declaration(&users[0], &recorded(&[], &users)[0]);
        assert_eq!((declaration.name.as_str(), declaration.owner.name.as_str()), ("b", "default/billing"));
        assert_eq!(
            (declaration.permissions[0].read.as_str(), declaration.permissions[0].write.as_str()),
            ("^orders", "")
        );
    }
}
