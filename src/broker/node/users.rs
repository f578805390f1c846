//! Users and passwords.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
};

use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
use ferrymq_core::{Identity, Login, LoginRefused};
use ferrymq_replication::task;
use tokio::sync::Semaphore;

use super::Inner;
use crate::catalogue::{Command, UserRecord};

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

    fn remember(&self, user: &str, stored: String, password: &str) {
        let known = self.key.hash_one((user, password));
        self.right.lock().unwrap_or_else(PoisonError::into_inner).insert(user.to_owned(), (stored, known));
    }
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

    /// Makes a user, or gives it a new password.
    pub(super) async fn put_user(&self, name: String, password: String, loopback_only: bool) -> Result<(), String> {
        let user = hash(password, loopback_only).await.map_err(|error| error.to_string())?;
        self.change(Command::PutUser { name, user }).await.map(|_| ()).map_err(|refusal| refusal.to_string())
    }
}
