//! The only reads of a reconcile: the user's cluster, its Secrets, the other users, and what the broker has.

use ferrymq_admin_api::UserView;
use ferrymq_api::{CheckedUser, Cluster, PasswordSecret, User};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};

use crate::{
    cluster_state::{self, ClusterState},
    context::Context,
    error::{ReconcileError, chain},
    links::{LinkError, secret_text},
    message_queue::build::AUTHORITIES_KEY,
    names, siblings,
    user::links::UserLink,
};

/// The most bytes of a password.
const MOST_BYTES: usize = 255;

/// What there is of a user, and around it.
#[derive(Default)]
pub(crate) struct Observed {
    /// Its cluster.
    pub(crate) cluster: ClusterState,
    /// Its cluster as it was checked, where it is there and can be.
    pub(crate) checked: Option<Cluster>,
    /// The whole namespace goes.
    pub(crate) namespace_going: bool,
    /// An older user of the same name in the same cluster.
    pub(crate) older: Option<String>,
    /// The uids of all users that there are for this cluster.
    pub(crate) living: Vec<String>,
    /// Its password; none where one is to be made, and a sentence where the spec's is not there.
    pub(crate) password: Option<Result<Password, String>>,
    /// The Secret for its clients, or another object of that name.
    pub(crate) binding: Option<Secret>,
    /// Whom clients are to trust where the cluster listens with TLS, as PEM: what its own Secret for clients says.
    pub(crate) authorities: Option<String>,
    /// A broker that answers.
    pub(crate) link: Option<UserLink>,
    /// Why none does.
    pub(crate) silence: String,
    /// The user as the broker has it.
    pub(crate) view: Option<UserView>,
}

/// A password, and which state of its Secret it is from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Password {
    pub(crate) text: String,
    pub(crate) version: String,
}

/// The user as the API server has it now, not as the watch had it a moment ago.
pub(crate) async fn current(resource: &User, context: &Context) -> Result<Option<User>, ReconcileError> {
    let name = resource.name_any();
    Api::<User>::namespaced(context.client.clone(), &resource.namespace().unwrap_or_default())
        .get_opt(&name)
        .await
        .map_err(|source| ReconcileError::Read { what: format!("User {name}"), source })
}

pub(crate) async fn read(user: &CheckedUser, context: &Context) -> Result<Observed, ReconcileError> {
    let mut observed = around(user, context).await?;
    observed.binding = secret(&user.namespace, &names::user_secret(&user.cluster, &user.resource), context).await?;
    observed.authorities = authorities(user, observed.checked.as_ref(), context).await?;
    observed.password = match &user.password {
        Some(source) => {
            let secret = secret(&user.namespace, &source.name, context).await?;
            Some(password(user, source, secret.as_ref()))
        }
        None => observed.binding.as_ref().and_then(made_password).map(Ok),
    };
    Ok(observed)
}

/// What has to be known before a user goes.
pub(crate) async fn for_removal(user: &CheckedUser, context: &Context) -> Result<Observed, ReconcileError> {
    if cluster_state::is_namespace_going(&user.namespace, context).await? {
        return Ok(Observed { namespace_going: true, ..Observed::default() });
    }
    around(user, context).await
}

/// The cluster, the other users, and what the broker has.
async fn around(user: &CheckedUser, context: &Context) -> Result<Observed, ReconcileError> {
    let (cluster, resource) = cluster_state::read(&user.namespace, &user.cluster, context);
    let checked = resource.and_then(|resource| Cluster::check(&resource).ok());
    let (older, living) = others(user, context);
    let mut observed = Observed { cluster, checked, older, living, ..Observed::default() };
    if matches!(observed.cluster, ClusterState::Formed(_)) {
        ask(user, context, &mut observed).await?;
    }
    Ok(observed)
}

async fn authorities(
    user: &CheckedUser,
    cluster: Option<&Cluster>,
    context: &Context,
) -> Result<Option<String>, ReconcileError> {
    let Some(cluster) = cluster.filter(|cluster| cluster.listeners.iter().any(|listener| listener.tls)) else {
        return Ok(None);
    };
    let secret = secret(&user.namespace, &names::default_user_secret(&cluster.name), context).await?;
    Ok(secret.and_then(|secret| secret_text(&secret, AUTHORITIES_KEY)))
}

async fn secret(namespace: &str, name: &str, context: &Context) -> Result<Option<Secret>, ReconcileError> {
    Api::<Secret>::namespaced(context.client.clone(), namespace)
        .get_opt(name)
        .await
        .map_err(|source| ReconcileError::Read { what: format!("Secret {name}"), source })
}

/// The password that was made, where it was.
fn made_password(binding: &Secret) -> Option<Password> {
    let text = text(binding, "password").ok()?;
    Some(Password { text, version: version(binding) })
}

fn version(secret: &Secret) -> String {
    format!("{}/{}", secret.uid().unwrap_or_default(), secret.resource_version().unwrap_or_default())
}

/// The password that the spec names, or what is wrong with it.
fn password(user: &CheckedUser, source: &PasswordSecret, secret: Option<&Secret>) -> Result<Password, String> {
    let Some(secret) = secret else {
        return Err(format!(
            "there is no Secret {} in namespace {}; make it, with the password under the key {}",
            source.name, user.namespace, source.password_key
        ));
    };
    if let Some(key) = &source.username_key {
        let named = text(secret, key)?;
        if named != user.name {
            return Err(format!(
                "Secret {} says under the key {key} that the user is called {named}, and this one is {}; is it the right \
                 Secret?",
                source.name, user.name
            ));
        }
    }
    Ok(Password { text: text(secret, &source.password_key)?, version: version(secret) })
}

/// What a Secret has under a key, or what is wrong with it.
fn text(secret: &Secret, key: &str) -> Result<String, String> {
    let name = secret.name_any();
    let data = secret.data.clone().unwrap_or_default();
    let Some(bytes) = data.get(key) else {
        let keys = data.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let there = if keys.is_empty() { "it is empty".to_owned() } else { format!("it has {keys}") };
        return Err(format!("Secret {name} has no key {key}; {there}"));
    };
    if bytes.0.is_empty() || bytes.0.len() > MOST_BYTES {
        return Err(format!("key {key} of Secret {name} must have 1 to {MOST_BYTES} bytes, and has {}", bytes.0.len()));
    }
    String::from_utf8(bytes.0.clone()).map_err(|_| format!("key {key} of Secret {name} is no UTF-8"))
}

/// The older one of two users of one name; and the uids of all of the cluster.
fn others(user: &CheckedUser, context: &Context) -> (Option<String>, Vec<String>) {
    let mut all = context.users.state();
    all.retain(|other| other.namespace().as_deref() == Some(&user.namespace) && other.spec.cluster == user.cluster);
    let older = siblings::older(&all, &user.uid, |other| {
        other.spec.name.clone().unwrap_or_else(|| other.name_any()) == user.name
    });
    (older, all.iter().filter_map(|other| other.uid()).collect())
}

async fn ask(user: &CheckedUser, context: &Context, observed: &mut Observed) -> Result<(), ReconcileError> {
    match context.user_links.to(&user.namespace, &user.cluster).await {
        Ok(link) => {
            observed.view = link.users.iter().find(|view| view.name == user.name).cloned();
            observed.link = Some(link);
        }
        Err(LinkError::Reconcile(error)) => return Err(error),
        Err(error) => observed.silence = chain(&error),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::user;

    const SPEC: &str = "{cluster: orders, passwordSecret: {name: billing, usernameKey: user, passwordKey: secret}}";

    fn read(secret: Option<serde_json::Value>) -> Result<Password, String> {
        let user = user(SPEC);
        let secret: Option<Secret> = secret.map(|secret| serde_json::from_value(secret).unwrap());
        password(&user, user.password.as_ref().unwrap(), secret.as_ref())
    }

    fn with(data: serde_json::Value) -> Option<serde_json::Value> {
        Some(json!({"metadata": {"name": "billing", "uid": "u", "resourceVersion": "7"}, "data": data}))
    }

    #[test]
    fn a_password_is_known_by_the_state_of_its_secret() {
        let password =
            read(with(json!({"user": "YmlsbGluZw==", "secret": "c2VjcmV0"}))).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!((password.text.as_str(), password.version.as_str()), ("secret", "u/7"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let said = |secret| read(secret).err().unwrap();
        assert_eq!(
            said(None),
            "there is no Secret billing in namespace shop; make it, with the password under the key secret"
        );
        assert_eq!(
            said(with(json!({"user": "YmlsbGluZw==", "pass": "eA=="}))),
            "Secret billing has no key secret; it has pass, user"
        );
        assert!(
            said(with(json!({"user": "b3RoZXI=", "secret": "eA=="})))
                .contains("is called other, and this one is billing")
        );
        assert!(
            said(with(json!({"user": "YmlsbGluZw==", "secret": ""}))).contains("must have 1 to 255 bytes, and has 0")
        );
        assert!(said(with(json!({"user": "YmlsbGluZw==", "secret": "/w=="}))).ends_with("is no UTF-8"));
    }
}
