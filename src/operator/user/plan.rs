//! What may happen to a user now. Pure.

use ferrymq_admin_api::{Owner, Permission, UserDeclaration, UserDeclared};
use ferrymq_api::CheckedUser;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use crate::{
    cluster_state::NotUsable,
    message_queue::dereference::random,
    names,
    user::{
        binding,
        dereference::{Observed, Password},
    },
};

/// Characters of a password that is made.
const MADE: usize = 32;

/// What may happen to a user now; and, once it was tried, what became of it.
#[derive(Clone, PartialEq)]
pub(crate) enum Plan {
    /// The spec cannot be.
    Invalid(String),
    /// The cluster is not there.
    ClusterNotFound(String),
    /// The cluster is being deleted.
    ClusterGoing(String),
    /// The cluster does not answer yet.
    ClusterNotReady(String),
    /// Another resource, or the cluster itself, has the name.
    Conflict(String),
    /// The Secret for its clients would have the name of another.
    NameTaken(String),
    /// There is no password where the spec says that there is one.
    PasswordMissing(String),
    /// A virtual host is not there.
    VirtualHostNotFound(String),
    /// Nothing is changed while the cluster is paused; the broker has what is asked for, or not.
    Paused(bool),
    /// The Secret for its clients is to be written.
    WriteBinding(Box<Secret>),
    /// The broker is to be told.
    Declare(Box<Declare>),
    /// The broker has what is asked for.
    Settled,
}

/// What a broker is told, and why.
#[derive(Clone, PartialEq)]
pub(crate) struct Declare {
    pub(crate) declaration: UserDeclaration,
    pub(crate) why: Why,
    /// A resource that is no more, and in whose name the user still is.
    pub(crate) stale_owner: Option<String>,
}

/// Why a broker is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    New,
    Password,
    Permissions,
}

pub(crate) fn next(user: &CheckedUser, observed: &Observed) -> Plan {
    let formed = match observed.cluster.usable("User", &user.cluster, &user.namespace) {
        Err(NotUsable::NotFound(why)) => return Plan::ClusterNotFound(why),
        Err(NotUsable::Going(why)) => return Plan::ClusterGoing(why),
        // The Secret can be there before the brokers are: pods that need it may start.
        Err(NotUsable::NotReady(why)) => Err(why),
        Ok(formed) => Ok(formed),
    };
    // Of two that were made in one second, the one that has the name keeps it.
    if let Some(older) = observed.older.as_ref().filter(|_| !has_it(user, observed)) {
        return Plan::Conflict(format!(
            "user {} of cluster {} belongs to the older User {older}; give this one another name, or delete one of them",
            user.name, user.cluster
        ));
    }
    let password = match &observed.password {
        Some(Err(why)) => return Plan::PasswordMissing(why.clone()),
        Some(Ok(password)) => Some(password),
        None => None,
    };
    let is_paused = formed.as_ref().is_ok_and(|formed| formed.paused);
    if !is_paused && let Some(plan) = bind(user, observed, password) {
        return plan;
    }
    if let Err(why) = formed {
        return Plan::ClusterNotReady(why);
    }
    if observed.link.is_none() {
        return Plan::ClusterNotReady(observed.silence.clone());
    }
    let Some(password) = password else { return Plan::Paused(false) };
    let plan = tell(user, observed, password);
    if is_paused { Plan::Paused(plan == Plan::Settled) } else { plan }
}

/// Whether the broker has this very user.
fn has_it(user: &CheckedUser, observed: &Observed) -> bool {
    let declared = observed.view.as_ref().and_then(|view| view.declared.as_ref());
    declared.and_then(|declared| declared.owner.as_ref()).is_some_and(|owner| owner.uid == user.uid)
}

/// What is to be done first about the Secret for the user's clients.
fn bind(user: &CheckedUser, observed: &Observed, password: Option<&Password>) -> Option<Plan> {
    let Some(cluster) = &observed.checked else {
        return Some(Plan::ClusterNotReady(format!(
            "MessageQueue {} cannot be as it is; see its status",
            user.cluster
        )));
    };
    let name = names::user_secret(&user.cluster, &user.resource);
    if let Some(there) = &observed.binding {
        let owner = there.owner_references().iter().find(|owner| owner.controller == Some(true));
        match owner {
            Some(owner) if owner.uid == user.uid => {}
            Some(owner) if owner.kind == "User" && owner.name == user.resource => {
                return Some(Plan::ClusterNotReady(format!(
                    "Secret {name} is of an earlier User of this name, and is still going"
                )));
            }
            _ => {
                return Some(Plan::NameTaken(format!(
                    "there is a Secret {name} already that is not this User's; delete that, or give this User another name"
                )));
            }
        }
    }
    let password = password.map_or_else(|| random(MADE), |password| password.text.clone());
    let wanted = binding::secret(user, cluster, &password, observed.authorities.as_deref());
    let is_there = observed.binding.as_ref().is_some_and(|there| has_all_of(there, &wanted));
    (!is_there).then(|| Plan::WriteBinding(Box::new(wanted)))
}

/// Whether all that is wanted is there; others may have added to it.
fn has_all_of(there: &Secret, wanted: &Secret) -> bool {
    let has_entry = |(key, value)| there.data.as_ref().and_then(|data| data.get(key)) == Some(value);
    wanted.labels().iter().all(|(key, value)| there.labels().get(key) == Some(value))
        && wanted.data.iter().flatten().all(has_entry)
}

/// What the broker is to be told, where it is.
fn tell(user: &CheckedUser, observed: &Observed, password: &Password) -> Plan {
    let declaration = declaration(user, password);
    let declare = |why, stale_owner, declaration| Plan::Declare(Box::new(Declare { declaration, why, stale_owner }));
    let Some(view) = &observed.view else { return declare(Why::New, None, declaration) };
    let Some(declared) = &view.declared else {
        return Plan::Conflict(format!(
            "user {} belongs to cluster {} itself, and may do everything; give this one another name",
            user.name, user.cluster
        ));
    };
    let wanted = UserDeclared {
        owner: Some(declaration.owner.clone()),
        password_version: declaration.password_version.clone(),
        permissions: declaration.permissions.clone(),
    };
    let theirs = declared.owner.as_ref().filter(|owner| owner.uid != user.uid);
    if let Some(owner) = theirs.filter(|owner| observed.living.contains(&owner.uid)) {
        return Plan::Conflict(format!(
            "user {} of cluster {} belongs to User {}; give this one another name, or delete one of them",
            user.name, user.cluster, owner.name
        ));
    }
    let why = match declared {
        _ if *declared == wanted => return Plan::Settled,
        _ if declared.owner != wanted.owner => Why::New,
        _ if declared.password_version != wanted.password_version => Why::Password,
        _ => Why::Permissions,
    };
    declare(why, theirs.map(|owner| owner.uid.clone()), declaration)
}

fn declaration(user: &CheckedUser, password: &Password) -> UserDeclaration {
    let permission = |permission: &ferrymq_api::PermissionSpec| Permission {
        virtual_host: permission.virtual_host.clone(),
        configure: permission.configure.clone(),
        write: permission.write.clone(),
        read: permission.read.clone(),
    };
    UserDeclaration {
        name: user.name.clone(),
        owner: Owner { name: user.full_name(), uid: user.uid.clone() },
        password: password.text.clone(),
        password_version: password.version.clone(),
        permissions: user.permissions.iter().map(permission).collect(),
    }
}

#[cfg(test)]
mod tests {
    use ferrymq_admin_api::UserView;

    use super::*;
    use crate::{
        cluster_state::ClusterState,
        fixture::{cluster, formed, user},
        user::links::UserLink,
    };

    const SPEC: &str = "{cluster: orders, permissions: [{read: '^orders'}]}";

    fn password() -> Password {
        Password { text: "secret".to_owned(), version: "u/1".to_owned() }
    }

    /// A user of which all is there that Kubernetes has.
    fn observed(spec: &str, view: Option<UserView>) -> Observed {
        let cluster = cluster("{storage: {size: 1Gi}}");
        Observed {
            cluster: formed(),
            binding: Some(binding::secret(&user(spec), &cluster, "secret", None)),
            checked: Some(cluster),
            living: vec!["uid-of-billing".to_owned()],
            password: Some(Ok(password())),
            link: Some(UserLink::to_nobody()),
            view,
            ..Observed::default()
        }
    }

    fn view(user: &CheckedUser) -> UserView {
        let UserDeclaration { name, owner, password_version, permissions, .. } = declaration(user, &password());
        UserView { name, declared: Some(UserDeclared { owner: Some(owner), password_version, permissions }) }
    }

    fn declared(plan: Plan) -> Declare {
        match plan {
            Plan::Declare(declare) => *declare,
            _ => panic!("it is not declared"),
        }
    }

    #[tokio::test]
    async fn a_user_is_declared_and_then_left_alone() {
        let user = user(SPEC);
        let declare = declared(next(&user, &observed(SPEC, None)));
        assert_eq!((declare.why, declare.declaration.permissions.len()), (Why::New, 1));
        assert!(next(&user, &observed(SPEC, Some(view(&user)))) == Plan::Settled);
    }

    #[tokio::test]
    async fn another_password_and_other_permissions_are_told() {
        let user = user(SPEC);
        let mut changed = observed(SPEC, Some(view(&user)));
        changed.password = Some(Ok(Password { version: "u/2".to_owned(), ..password() }));
        assert_eq!(declared(next(&user, &changed)).why, Why::Password);
        let wider = crate::fixture::user("{cluster: orders, permissions: [{read: .*}]}");
        assert_eq!(declared(next(&wider, &observed(SPEC, Some(view(&user))))).why, Why::Permissions);
    }

    #[tokio::test]
    async fn the_secret_comes_first_also_before_the_brokers_are_there() {
        let mut observed = observed(SPEC, None);
        (observed.binding, observed.password, observed.cluster) = (None, None, ClusterState::Unformed);
        let Plan::WriteBinding(secret) = next(&user(SPEC), &observed) else { panic!("no Secret is written") };
        assert_eq!(secret.name_any(), "orders-user-billing");
        let made = secret.data.as_ref().and_then(|data| data.get("password")).map(|password| password.0.len());
        assert_eq!(made, Some(MADE));
        observed.binding = Some(*secret);
        observed.password = Some(Ok(password()));
        observed.binding = Some(binding::secret(&user(SPEC), observed.checked.as_ref().unwrap(), "secret", None));
        assert!(matches!(next(&user(SPEC), &observed), Plan::ClusterNotReady(_)));
    }

    #[tokio::test]
    async fn a_changed_password_is_in_the_secret_for_clients_too() {
        let user = user(SPEC);
        let mut changed = observed(SPEC, Some(view(&user)));
        changed.password = Some(Ok(Password { text: "other".to_owned(), version: "u/2".to_owned() }));
        let Plan::WriteBinding(secret) = next(&user, &changed) else { panic!("no Secret is written") };
        assert_eq!(secret.data.unwrap()["password"].0, b"other");
    }

    #[tokio::test]
    async fn a_secret_of_somebody_else_is_left_alone() {
        let mut observed = observed(SPEC, None);
        if let Some(secret) = &mut observed.binding {
            secret.metadata.owner_references = None;
        }
        let Plan::NameTaken(sentence) = next(&user(SPEC), &observed) else { panic!("it is not taken") };
        assert!(sentence.contains("Secret orders-user-billing already"), "{sentence}");
    }

    #[tokio::test]
    async fn a_name_has_one_owner() {
        let user = user(SPEC);
        let mut older = observed(SPEC, None);
        older.older = Some("shop/first".to_owned());
        let Plan::Conflict(sentence) = next(&user, &older) else { panic!("no conflict") };
        assert!(sentence.contains("older User shop/first"), "{sentence}");

        older.view = Some(view(&user));
        assert!(!matches!(next(&user, &older), Plan::Conflict(_)), "who has the name keeps it");

        let of_cluster = UserView { name: "billing".to_owned(), declared: None };
        let Plan::Conflict(sentence) = next(&user, &observed(SPEC, Some(of_cluster))) else { panic!("no conflict") };
        assert!(sentence.contains("belongs to cluster orders itself"), "{sentence}");

        let mut theirs = view(&user);
        if let Some(owner) = theirs.declared.as_mut().and_then(|declared| declared.owner.as_mut()) {
            owner.uid = "another".to_owned();
        }
        // One that is no more gives way; one that is there does not.
        let gone = declared(next(&user, &observed(SPEC, Some(theirs.clone()))));
        assert_eq!(gone.stale_owner.as_deref(), Some("another"));
        let mut living = observed(SPEC, Some(theirs));
        living.living.push("another".to_owned());
        assert!(matches!(next(&user, &living), Plan::Conflict(_)));
    }

    #[tokio::test]
    async fn a_password_that_is_missing_stops_it_with_a_sentence() {
        let mut observed = observed(SPEC, None);
        observed.password = Some(Err("there is no Secret x".to_owned()));
        assert!(next(&user(SPEC), &observed) == Plan::PasswordMissing("there is no Secret x".to_owned()));
    }
}
