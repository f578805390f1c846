//! Which of several operators acts: who holds the Lease.
//!
//! A Lease is taken and renewed by `replace` with the resourceVersion that was read: of two that try at once one fails. How
//! long another's is respected is counted by our own clock, from when we saw it change last: the holder's clock and ours
//! need not agree. The holder stops acting well before others may begin to.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use tokio::time::Instant;

use crate::{error::OperatorError, settings::LeaseSettings};

/// How long a Lease is respected that is not renewed.
const LASTS: Duration = Duration::from_secs(30);

/// When a holder gives up that could not renew.
const GIVEN_UP: Duration = Duration::from_secs(20);

/// How often it is looked at by who waits for it.
const EVERY: Duration = Duration::from_secs(2);

/// How often it is renewed by who holds it: three may fail before it gives up.
const RENEWED: Duration = Duration::from_secs(6);

/// The longest that one call may take.
const CALL: Duration = Duration::from_secs(5);

/// The Lease, as this operator sees it.
pub(crate) struct Election {
    api: Api<Lease>,
    settings: LeaseSettings,
    seen: Seen,
}

/// What was seen of the Lease, and since when it has been the same.
#[derive(Debug, Default)]
struct Seen {
    version: Option<String>,
    since: Option<Instant>,
}

impl Seen {
    /// Whether a Lease in this state has not changed for as long as it is respected.
    fn expired(&mut self, version: Option<&str>, now: Instant) -> bool {
        if self.since.is_none() || self.version.as_deref() != version {
            self.version = version.map(str::to_owned);
            self.since = Some(now);
        }
        self.since.is_some_and(|since| now.duration_since(since) >= LASTS)
    }
}

impl Election {
    pub(crate) fn new(client: Client, settings: LeaseSettings) -> Self {
        Self { api: Api::namespaced(client, &settings.namespace), settings, seen: Seen::default() }
    }

    /// Returns once this operator holds the Lease.
    pub(crate) async fn win(&mut self) {
        loop {
            match tokio::time::timeout(CALL, self.attempt()).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) | Err(_) => {}
                Ok(Err(error)) => tracing::warn!(%error, lease = %self.settings.name, "the Lease cannot be had"),
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Keeps the Lease; returns when it is lost.
    pub(crate) async fn keep(&mut self) -> OperatorError {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RENEWED).await;
            let started = Instant::now();
            match tokio::time::timeout(CALL, self.attempt()).await {
                Ok(Ok(true)) => renewed = started,
                Ok(Ok(false)) => return OperatorError::LeaseLost,
                Ok(Err(error)) => tracing::warn!(%error, lease = %self.settings.name, "the Lease was not renewed"),
                Err(_) => tracing::warn!(lease = %self.settings.name, "the Lease was not renewed in time"),
            }
            if renewed.elapsed() >= GIVEN_UP {
                return OperatorError::LeaseLost;
            }
        }
    }

    /// Gives the Lease back, so that the next one need not wait.
    pub(crate) async fn give_back(&self) {
        let give_back = async {
            let Ok(Some(mut lease)) = self.api.get_opt(&self.settings.name).await else { return };
            let Some(spec) = lease.spec.as_mut().filter(|spec| self.is_ours(spec)) else { return };
            spec.holder_identity = None;
            let _ = self.api.replace(&self.settings.name, &PostParams::default(), &lease).await;
        };
        let _ = tokio::time::timeout(CALL, give_back).await;
    }

    fn is_ours(&self, spec: &LeaseSpec) -> bool {
        spec.holder_identity.as_deref() == Some(&self.settings.holder)
    }

    /// Takes or renews the Lease, where it is free, ours, or expired. Gives whether it is ours now.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let parameters = PostParams::default();
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = self.api.get_opt(&self.settings.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(self.settings.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.spec(None, now)),
            };
            return won(self.api.create(&parameters, &lease).await);
        };
        let held = lease
            .spec
            .as_ref()
            .is_some_and(|spec| spec.holder_identity.as_deref().is_some_and(|holder| !holder.is_empty()));
        let ours = lease.spec.as_ref().is_some_and(|spec| self.is_ours(spec));
        let expired = self.seen.expired(lease.metadata.resource_version.as_deref(), Instant::now());
        if held && !ours && !expired {
            return Ok(false);
        }
        lease.spec = Some(self.spec(lease.spec.filter(|_| ours), now));
        won(self.api.replace(&self.settings.name, &parameters, &lease).await)
    }

    fn spec(&self, before: Option<LeaseSpec>, now: MicroTime) -> LeaseSpec {
        let acquired = before.as_ref().and_then(|spec| spec.acquire_time.clone());
        LeaseSpec {
            holder_identity: Some(self.settings.holder.clone()),
            lease_duration_seconds: i32::try_from(LASTS.as_secs()).ok(),
            acquire_time: acquired.or_else(|| Some(now.clone())),
            renew_time: Some(now),
            ..before.unwrap_or_default()
        }
    }
}

/// A conflict is no error: another one was quicker.
fn won(outcome: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match outcome {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_expires_by_our_own_clock_from_when_it_changed_last() {
        let mut seen = Seen::default();
        let start = Instant::now();
        assert!(!seen.expired(Some("1"), start));
        assert!(!seen.expired(Some("1"), start + LASTS - Duration::from_millis(1)));
        assert!(!seen.expired(Some("2"), start + LASTS), "it was renewed meanwhile");
        assert!(seen.expired(Some("2"), start + LASTS + LASTS));
    }

    #[test]
    fn who_cannot_renew_gives_up_before_others_may_begin() {
        assert!(GIVEN_UP + EVERY < LASTS);
    }
}
