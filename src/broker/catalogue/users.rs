//! Users that somebody declared, and what each of them may do.
//!
//! The other users, those that a cluster is formed with or that were made by an earlier version, have nobody who declares
//! them, and may do everything.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    Catalogue,
    apply::{denied, no_virtual_host},
    command::{Answer, Denied},
    records::UserRecord,
};
use crate::rights::Rights;

/// What a user may do on a virtual host: regular expressions for the names of exchanges and queues; an empty one matches
/// none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PermissionRecord {
    pub(crate) virtual_host: String,
    pub(crate) configure: String,
    pub(crate) write: String,
    pub(crate) read: String,
}

/// A user, as it is declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserSpec {
    pub(crate) name: String,
    pub(crate) owner_name: String,
    /// Empty where it is nobody's any more.
    pub(crate) owner_uid: String,
    /// What its owner calls this state of the password.
    pub(crate) password_version: String,
    /// At most one a virtual host.
    pub(crate) permissions: Vec<PermissionRecord>,
}

/// A declared user, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeclaredUser {
    /// Tells it from one of the same name before it or after it.
    pub(crate) number: u64,
    pub(crate) spec: UserSpec,
}

/// All declared users, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeclaredUsers {
    last: u64,
    by_name: BTreeMap<String, DeclaredUser>,
}

impl DeclaredUsers {
    /// None ever was.
    pub(super) fn is_untouched(&self) -> bool {
        self.last == 0
    }

    /// Nobody's from now on, until somebody declares them.
    pub(super) fn await_owners(&mut self) {
        for user in self.by_name.values_mut() {
            user.spec.owner_uid.clear();
        }
    }
}

/// What a user is at this moment.
#[derive(Clone)]
pub(crate) enum Standing {
    /// There is none of that name.
    Gone,
    /// It may do everything.
    Everything,
    /// It was declared.
    Declared { number: u64, rights: Arc<Rights> },
}

/// What follows from the declared users.
#[derive(Default)]
pub(super) struct UserIndex {
    rights: HashMap<String, Arc<Rights>>,
    /// Changes whenever a user does, and is each node's own.
    pub(super) version: u64,
}

impl Catalogue {
    /// Makes rights of what was kept.
    pub(super) fn index_users(&mut self) {
        let declared = self.users.by_name.iter();
        self.user_index.rights = declared.map(|(name, user)| (name.clone(), rights_of(&user.spec))).collect();
    }

    /// A number that changes whenever a user does.
    pub(crate) fn users_version(&self) -> u64 {
        self.user_index.version
    }

    /// What a user is, and may do.
    pub(crate) fn standing(&self, name: &str) -> Standing {
        match (self.records.users.get(name), self.users.by_name.get(name), self.user_index.rights.get(name)) {
            (None, ..) => Standing::Gone,
            (Some(_), Some(user), Some(rights)) => {
                Standing::Declared { number: user.number, rights: Arc::clone(rights) }
            }
            (Some(_), ..) => Standing::Everything,
        }
    }

    /// A user as it was declared last.
    pub(crate) fn declared_user(&self, name: &str) -> Option<&UserSpec> {
        self.users.by_name.get(name).map(|user| &user.spec)
    }

    /// Makes a user that may do everything, or gives it a new password.
    pub(super) fn put_user(&mut self, name: String, user: UserRecord) -> Answer {
        if let Some(declared) = self.declared_user(&name) {
            return denied(Denied::Owned { owner: declared.owner_name.clone() });
        }
        self.records.users.insert(name, user);
        self.user_index.version += 1;
        Answer::Done
    }

    /// Makes a user, or makes it what is declared. Without a hash it keeps its password.
    pub(super) fn declare_user(&mut self, spec: UserSpec, password_hash: Option<String>) -> Answer {
        let before = self.users.by_name.get(&spec.name);
        if let Some(before) = before {
            let owner = &before.spec;
            if !owner.owner_uid.is_empty() && owner.owner_uid != spec.owner_uid {
                return denied(Denied::Owned { owner: owner.owner_name.clone() });
            }
        } else if self.records.users.contains_key(&spec.name) {
            return denied(Denied::UserOfCluster { name: spec.name });
        }
        let unknown =
            |permission: &&PermissionRecord| !self.records.virtual_hosts.contains_key(&permission.virtual_host);
        if let Some(permission) = spec.permissions.iter().find(unknown) {
            return no_virtual_host(&permission.virtual_host);
        }
        let password_hash = match (password_hash, self.records.users.get(&spec.name)) {
            (Some(hash), _) => hash,
            (None, Some(kept)) if before.is_some_and(|user| user.spec.password_version == spec.password_version) => {
                kept.password_hash.clone()
            }
            // Another node was told something else meanwhile.
            _ => {
                return denied(Denied::Not { reason: "the user has another password by now; declare it again".into() });
            }
        };
        let number = before.map(|user| user.number).unwrap_or_else(|| self.users.last + 1);
        self.users.last = self.users.last.max(number);
        self.records.users.insert(spec.name.clone(), UserRecord { password_hash, loopback_only: false });
        self.user_index.rights.insert(spec.name.clone(), rights_of(&spec));
        self.user_index.version += 1;
        self.users.by_name.insert(spec.name.clone(), DeclaredUser { number, spec });
        Answer::Done
    }

    /// Removes a user of this owner; or, where it is not to be deleted, makes it nobody's.
    pub(super) fn remove_user(&mut self, name: &str, owner_uid: &str, delete: bool) -> Answer {
        let Some(user) = self.users.by_name.get_mut(name).filter(|user| user.spec.owner_uid == owner_uid) else {
            return Answer::Done;
        };
        if delete {
            self.users.by_name.remove(name);
            self.records.users.remove(name);
            self.user_index.rights.remove(name);
            self.user_index.version += 1;
        } else {
            user.spec.owner_name.clear();
            user.spec.owner_uid.clear();
        }
        Answer::Done
    }
}

fn rights_of(spec: &UserSpec) -> Arc<Rights> {
    Arc::new(Rights::of(spec.permissions.clone()))
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::catalogue::{CatalogueMachine, Command, records::NodeRecord};

    fn formed() -> Catalogue {
        let mut catalogue = Catalogue::default();
        let node =
            NodeRecord { ordinal: 0, uuid: "u".into(), zone: None, version: String::new(), run: 1, replaced: false };
        let user = UserRecord { password_hash: "hash".into(), loopback_only: false };
        let users = vec![("default".to_owned(), user)];
        catalogue.apply(Command::Form { cluster_id: "c".into(), default_mirrors: 1, nodes: vec![node], users });
        catalogue
    }

    fn spec(owner: &str, version: &str) -> UserSpec {
        let permission = |host: &str| PermissionRecord {
            virtual_host: host.into(),
            configure: String::new(),
            write: "^orders$".into(),
            read: ".*".into(),
        };
        UserSpec {
            name: "billing".into(),
            owner_name: format!("shop/{owner}"),
            owner_uid: owner.into(),
            password_version: version.into(),
            permissions: vec![permission("/")],
        }
    }

    fn declare(catalogue: &mut Catalogue, user: UserSpec, hash: Option<&str>) -> Answer {
        catalogue.apply(Command::DeclareUser { user, password_hash: hash.map(str::to_owned) })
    }

    fn remove(catalogue: &mut Catalogue, owner: &str, delete: bool) {
        let (name, owner_uid) = ("billing".to_owned(), owner.to_owned());
        assert_eq!(catalogue.apply(Command::RemoveUser { name, owner_uid, delete }), Answer::Done);
    }

    fn number(catalogue: &Catalogue) -> Option<u64> {
        match catalogue.standing("billing") {
            Standing::Declared { number, .. } => Some(number),
            _ => None,
        }
    }

    #[test]
    fn users_that_nobody_declared_may_do_everything_and_are_taken_by_nobody() {
        let mut catalogue = formed();
        assert!(matches!(catalogue.standing("default"), Standing::Everything));
        assert!(matches!(catalogue.standing("nobody"), Standing::Gone));
        let user = UserSpec { name: "default".into(), ..spec("a", "1") };
        let answer = declare(&mut catalogue, user, Some("other"));
        assert_eq!(answer, Answer::Denied(Denied::UserOfCluster { name: "default".into() }));
        assert!(matches!(catalogue.standing("default"), Standing::Everything));
    }

    #[test]
    fn a_user_has_one_owner_until_that_gives_it_up() {
        let mut catalogue = formed();
        assert_eq!(declare(&mut catalogue, spec("a", "1"), Some("hash-1")), Answer::Done);
        let owned = Answer::Denied(Denied::Owned { owner: "shop/a".into() });
        assert_eq!(declare(&mut catalogue, spec("b", "1"), Some("hash-2")), owned);
        remove(&mut catalogue, "b", true);
        remove(&mut catalogue, "a", false);
        assert_eq!(number(&catalogue), Some(1));
        assert_eq!(declare(&mut catalogue, spec("b", "2"), Some("hash-2")), Answer::Done);
        assert_eq!(number(&catalogue), Some(1));
        assert_eq!(catalogue.records.users["billing"].password_hash, "hash-2");
        let user = UserRecord { password_hash: "hash".into(), loopback_only: false };
        let put = catalogue.apply(Command::PutUser { name: "billing".into(), user });
        assert_eq!(put, Answer::Denied(Denied::Owned { owner: "shop/b".into() }));
    }

    #[test]
    fn one_that_is_made_again_is_another() {
        let mut catalogue = formed();
        declare(&mut catalogue, spec("a", "1"), Some("hash"));
        let version = catalogue.users_version();
        remove(&mut catalogue, "a", true);
        assert!(matches!(catalogue.standing("billing"), Standing::Gone));
        assert_ne!(catalogue.users_version(), version);
        declare(&mut catalogue, spec("a", "1"), Some("hash"));
        assert_eq!(number(&catalogue), Some(2));
    }

    #[test]
    fn the_password_stays_while_its_version_does() {
        let mut catalogue = formed();
        declare(&mut catalogue, spec("a", "1"), Some("hash"));
        let wider = UserSpec { permissions: Vec::new(), ..spec("a", "1") };
        assert_eq!(declare(&mut catalogue, wider, None), Answer::Done);
        assert_eq!(catalogue.records.users["billing"].password_hash, "hash");
        assert!(matches!(declare(&mut catalogue, spec("a", "2"), None), Answer::Denied(Denied::Not { .. })));
    }

    #[test]
    fn permissions_are_of_virtual_hosts_that_there_are() {
        let mut catalogue = formed();
        let mut user = spec("a", "1");
        user.permissions[0].virtual_host = "shop".into();
        assert_eq!(declare(&mut catalogue, user, Some("hash")), no_virtual_host("shop"));
        assert!(matches!(catalogue.standing("billing"), Standing::Gone));
    }

    #[test]
    fn declared_users_are_in_the_snapshot_and_nothing_changes_without_them() {
        let (mut machine, _) = CatalogueMachine::new();
        machine.catalogue = formed();
        assert_eq!(machine.saved().first(), Some(&1));
        declare(&mut machine.catalogue, spec("a", "1"), Some("hash"));
        let (mut other, _) = CatalogueMachine::new();
        let version = other.catalogue.users_version();
        other.take(&machine.saved()).unwrap();
        assert_eq!(other.catalogue.users, machine.catalogue.users);
        assert_eq!(number(&other.catalogue), Some(1));
        // Who looked at users before looks again.
        assert_ne!(other.catalogue.users_version(), version);
    }
}
