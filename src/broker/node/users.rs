//! Passwords, and the sessions of users that go.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
};

use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
use ferrymq_core::{Event, EventSender, Identity, Login, LoginRefused};
use ferrymq_replication::task;
use tokio::sync::{Semaphore, watch};

use super::Inner;
use crate::{
    access::is_same,
    catalogue::{Answer, Command, UserRecord},
    refusal::refusal_of,
};

/// Passwords checked at a time: each check takes a core for some time, by design.
const CHECKS_AT_A_TIME: usize = 2;

/// Remembers, by a keyed hash, which password was right for which stored hash, so that a client that connects often is not
/// checked at full cost each time.
pub(super) struct PasswordCache {
    key: RandomState,
    right: Mutex<HashMap<String, (String, u64)>>,
    checks: Semaphore,
}

impl Default for PasswordCache {
    fn default() -> Self {
        Self { key: RandomState::new(), right: Mutex::default(), checks: Semaphore::new(CHECKS_AT_A_TIME) }
    }
}

impl PasswordCache {
    fn knows(&self, user: &str, stored: &str, password: &str) -> bool {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.get(user).is_some_and(|(hash, known)| hash == stored && *known == self.key.hash_one((user, password)))
    }

    /// Forgets users that there are no more.
    fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.right.lock().unwrap_or_else(PoisonError::into_inner).retain(|user, _| is_there(user));
    }

    fn remember(&self, user: &str, stored: String, password: &str) {
        let known = self.key.hash_one((user, password));
        self.right.lock().unwrap_or_else(PoisonError::into_inner).insert(user.to_owned(), (stored, known));
    }
}

/// A session of this node.
pub(crate) struct OpenSession {
    pub(super) user: Arc<str>,
    /// The user's number, where it was declared.
    pub(super) number: Option<u64>,
    pub(super) events: EventSender,
}

/// A password could not be hashed.
#[derive(Debug, thiserror::Error)]
#[error("the password cannot be hashed: {0}")]
pub(super) struct HashError(String);

/// Hashes a password with Argon2id. Takes tens of milliseconds.
pub(super) async fn hash(password: String, loopback_only: bool) -> Result<UserRecord, HashError> {
    let hashed =
        task::blocking(move || Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()));
    let hashed = hashed.await.map_err(|error| HashError(error.to_string()))?;
    Ok(UserRecord { password_hash: hashed.map_err(|error| HashError(error.to_string()))?, loopback_only })
}

impl Inner {
    pub(super) async fn check_password(&self, login: Login) -> Result<Identity, LoginRefused> {
        let user = login.credentials.user.clone();
        let record = self
            .catalogue(|catalogue| catalogue.is_formed().then(|| catalogue.records.users.get(&user).cloned()))
            .map_err(|refusal| LoginRefused::Unavailable { reason: refusal.to_string() })?
            .ok_or_else(|| LoginRefused::Unavailable { reason: "its copy of the users is not there yet".into() })?;
        let identity = Identity { user: Arc::from(user.as_str()) };
        let Some(record) = record else { return Err(LoginRefused::Credentials { user }) };
        let password = login.credentials.password;
        if !self.passwords.knows(&user, &record.password_hash, &password) {
            let Ok(permit) = self.passwords.checks.acquire().await else {
                return Err(LoginRefused::Unavailable { reason: "it stops".into() });
            };
            let (stored, given) = (record.password_hash.clone(), password.clone());
            let right = task::blocking(move || {
                let parsed = PasswordHash::new(&stored);
                parsed.is_ok_and(|parsed| Argon2::default().verify_password(given.as_bytes(), &parsed).is_ok())
            });
            let right = right.await.unwrap_or(false);
            drop(permit);
            if !right {
                return Err(LoginRefused::Credentials { user });
            }
            self.passwords.remember(&user, record.password_hash, &password);
        }
        if record.loopback_only && !login.address.to_canonical().is_loopback() {
            return Err(LoginRefused::LoopbackOnly { user });
        }
        Ok(identity)
    }

    /// Hashes a password, not more than a few at a time.
    pub(super) async fn hash_password(&self, password: String) -> Result<String, String> {
        let _permit = self.passwords.checks.acquire().await.map_err(|error| error.to_string())?;
        let user = hash(password, false).await.map_err(|error| error.to_string())?;
        Ok(user.password_hash)
    }

    /// Makes a user that may do everything, or gives it a new password.
    pub(super) async fn put_user(&self, name: String, password: String, loopback_only: bool) -> Result<(), String> {
        let user = hash(password, loopback_only).await.map_err(|error| error.to_string())?;
        match self.change(Command::PutUser { name, user }).await {
            Ok(Answer::Denied(why)) => Err(refusal_of(why, "/").to_string()),
            other => other.map(|_| ()).map_err(|refusal| refusal.to_string()),
        }
    }

    /// Lets the sessions of users go that go, until the node stops.
    pub(super) async fn let_go_of_users(self: Arc<Self>, mut users: watch::Receiver<u64>) {
        while users.changed().await.is_ok() && !self.is_stopping() {
            let open: Vec<_> = {
                let sessions = self.sessions();
                let open = sessions.values();
                open.map(|session| (session.user.clone(), session.number, session.events.clone())).collect()
            };
            let told = self.catalogue(|catalogue| {
                let gone = open.iter().filter(|(user, number, _)| !is_same(*number, &catalogue.standing(user)));
                for (user, _, events) in gone {
                    // The session may be going.
                    let _ = events.send(Event::Closing(format!("user '{user}' was deleted")));
                }
                self.passwords.keep(|user| catalogue.records.users.contains_key(user));
            });
            if let Err(error) = told {
                tracing::debug!(%error, "sessions of users that went were not told yet");
            }
        }
    }
}
