//! A `User` whose every field was checked.

use std::collections::BTreeSet;

use kube::ResourceExt;
use regex::RegexBuilder;

use crate::{
    InvalidResource, PasswordSecret, PermissionSpec, Problem, User, UserDeletionPolicy, UserSpec,
    checked_topic::is_text, sentence,
};

/// The most characters of an expression.
const MOST_CHARACTERS: usize = 1024;
/// The most bytes of memory of a compiled expression, as brokers have it.
const MOST_BYTES: usize = 256 << 10;

/// A `User` whose every field was checked. Made by [`CheckedUser::check`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckedUser {
    /// The name of its resource.
    pub resource: String,
    /// Its namespace.
    pub namespace: String,
    /// The uid of its resource; empty where it comes from a file.
    pub uid: String,
    /// The generation of its resource, where it comes from an API server.
    pub generation: Option<i64>,
    /// The `MessageQueue` that it is a user of.
    pub cluster: String,
    /// The name that it logs in with.
    pub name: String,
    /// Where its password is; made where there is none.
    pub password: Option<PasswordSecret>,
    /// What it may do; each virtual host is there once.
    pub permissions: Vec<PermissionSpec>,
    /// What becomes of it when the resource goes.
    pub deletion_policy: UserDeletionPolicy,
}

impl CheckedUser {
    /// Checks every field of a resource.
    ///
    /// # Errors
    ///
    /// [`InvalidResource`] with all that is wrong.
    pub fn check(resource: &User) -> Result<Self, InvalidResource> {
        let spec = &resource.spec;
        let mut problems = Vec::new();
        let name = spec.name.clone().unwrap_or_else(|| resource.name_any());
        if name.is_empty() || name.len() > 255 || name.bytes().any(|byte| byte.is_ascii_control()) {
            let field = if spec.name.is_some() { "spec.name" } else { "metadata.name" };
            problems.push(Problem::new(field, sentence::USER_NAME));
        }
        if resource.name_any().len() > 200 {
            problems.push(Problem::new("metadata.name", sentence::USER_RESOURCE_NAME));
        }
        if spec.cluster.is_empty() {
            problems.push(Problem::new("spec.cluster", sentence::USER_CLUSTER));
        }
        check_secret(spec, &mut problems);
        check_permissions(spec, &mut problems);
        InvalidResource::unless_empty(problems)?;
        Ok(Self {
            resource: resource.name_any(),
            namespace: resource.namespace().unwrap_or_else(|| "default".to_owned()),
            uid: resource.uid().unwrap_or_default(),
            generation: resource.metadata.generation,
            cluster: spec.cluster.clone(),
            name,
            password: spec.password_secret.clone(),
            permissions: spec.permissions.clone(),
            deletion_policy: spec.deletion_policy,
        })
    }

    /// Namespace and name of the resource, for people to read.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.resource)
    }
}

fn check_secret(spec: &UserSpec, problems: &mut Vec<Problem>) {
    let Some(secret) = &spec.password_secret else { return };
    if secret.name.is_empty() {
        problems.push(Problem::new("spec.passwordSecret.name", sentence::PASSWORD_SECRET));
    }
    if secret.username_key.as_ref().is_some_and(String::is_empty) {
        problems.push(Problem::new("spec.passwordSecret.usernameKey", sentence::SECRET_KEY));
    }
    if secret.password_key.is_empty() {
        problems.push(Problem::new("spec.passwordSecret.passwordKey", sentence::SECRET_KEY));
    }
}

fn check_permissions(spec: &UserSpec, problems: &mut Vec<Problem>) {
    if spec.permissions.len() > 64 {
        problems.push(Problem::new("spec.permissions", sentence::PERMISSIONS_TOO_MANY));
    }
    let mut hosts = BTreeSet::new();
    for (index, permission) in spec.permissions.iter().enumerate() {
        let field = |name: &str| format!("spec.permissions[{index}].{name}");
        let host = &permission.virtual_host;
        if host.is_empty() || !is_text(host) {
            problems.push(Problem::new(field("virtualHost"), sentence::VIRTUAL_HOST));
        }
        if !hosts.insert(host) {
            problems.push(Problem::new(field("virtualHost"), sentence::PERMISSION_TWICE));
        }
        let expressions =
            [("configure", &permission.configure), ("write", &permission.write), ("read", &permission.read)];
        for (name, expression) in expressions {
            if let Some(sentence) = fault(expression) {
                problems.push(Problem::new(field(name), sentence));
            }
        }
    }
}

/// What is wrong with an expression.
fn fault(expression: &str) -> Option<String> {
    if expression.chars().count() > MOST_CHARACTERS {
        return Some(sentence::EXPRESSION.to_owned());
    }
    let error = RegexBuilder::new(expression).size_limit(MOST_BYTES).build().err()?;
    // The last line says what is wrong, those before show where.
    let why = error.to_string();
    Some(format!("{}: {}", sentence::EXPRESSION, why.lines().last().unwrap_or_default().trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Resource, parse_resources};

    fn user(spec: &str) -> Result<CheckedUser, String> {
        let text = format!(
            "apiVersion: ferrymq.io/v1alpha1\nkind: MessageQueue\nmetadata: {{name: orders}}\nspec: {{storage: {{size: 1Gi}}}}\n\
             ---\napiVersion: ferrymq.io/v1alpha1\nkind: User\nmetadata: {{name: billing}}\nspec: {spec}\n"
        );
        match parse_resources(&text, "test.yaml").map_err(|error| error.to_string())?.remove(1) {
            Resource::User(_, user) => Ok(*user),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn a_user_may_nothing_and_goes_with_its_resource_unless_it_says_otherwise() {
        let user = user("{cluster: orders}").unwrap();
        assert_eq!((user.name.as_str(), user.full_name().as_str()), ("billing", "default/billing"));
        assert!(user.permissions.is_empty() && user.password.is_none());
        assert_eq!(user.deletion_policy, UserDeletionPolicy::Delete);
    }

    #[test]
    fn what_a_permission_leaves_out_is_not_allowed() {
        let user = user("{cluster: orders, passwordSecret: {name: s}, permissions: [{read: '^orders'}]}").unwrap();
        let permission = &user.permissions[0];
        assert_eq!((permission.virtual_host.as_str(), permission.read.as_str()), ("/", "^orders"));
        assert!(permission.configure.is_empty() && permission.write.is_empty());
        assert_eq!(user.password.map(|secret| secret.password_key), Some("password".to_owned()));
    }

    #[test]
    fn what_is_wrong_is_said_with_line_and_field() {
        for (spec, told) in [
            ("{cluster: orders, permissions: [{read: 'a('}]}", "spec.permissions[0].read: "),
            ("{cluster: orders, permissions: [{read: '^(?!x)'}]}", "look-around"),
            ("{cluster: orders, permissions: [{read: a}, {write: b}]}", sentence::PERMISSION_TWICE),
            ("{cluster: orders, passwordSecret: {name: ''}}", sentence::PASSWORD_SECRET),
            ("{cluster: orders, name: \"a\\tb\"}", sentence::USER_NAME),
            ("{cluster: others}", "there is no MessageQueue others in this file; it has orders"),
        ] {
            let error = user(spec).unwrap_err();
            assert!(error.starts_with("test.yaml:") && error.contains(told), "{spec}: {error}");
        }
    }
}
