//! Which broker of a cluster is asked of users, and what it said a moment ago: users share one answer, so that a thousand of
//! them cost a broker one call and not a thousand.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ferrymq_admin_api::{Client as AdminClient, UserView};
use kube::Client;

use crate::links::{ClusterKey, LinkError, find};

/// How long an answer is shared.
const FRESH: Duration = Duration::from_millis(1_500);

/// The clusters' brokers, as users ask them.
pub(crate) struct UserLinks {
    client: Client,
    clusters: Mutex<HashMap<ClusterKey, Place>>,
}

/// Where an answer is put; locked while it is fetched, so that all wait for the one call.
type Place = Arc<tokio::sync::Mutex<Option<(Instant, UserLink)>>>;

/// A broker that answered, and the users that it has.
#[derive(Clone)]
pub(crate) struct UserLink {
    pub(crate) client: AdminClient,
    pub(crate) users: Arc<Vec<UserView>>,
}

impl UserLink {
    /// A link for tests of what is decided, not of what is called.
    #[cfg(test)]
    pub(crate) fn to_nobody() -> Self {
        Self { client: AdminClient::new("http://127.0.0.1:9", "token").unwrap(), users: Arc::default() }
    }
}

impl UserLinks {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, clusters: Mutex::default() }
    }

    /// A broker that answers, with users that are at most a moment old.
    pub(crate) async fn to(&self, namespace: &str, cluster: &str) -> Result<UserLink, LinkError> {
        let key = (namespace.to_owned(), cluster.to_owned());
        let place = {
            let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(clusters.entry(key.clone()).or_default())
        };
        let mut place = place.lock().await;
        if let Some((_, link)) = place.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(link.clone());
        }
        *place = None;
        let users = |client: AdminClient| async move { client.users().await };
        let (client, users) = find(&self.client, &key, users).await?;
        let link = UserLink { client, users: Arc::new(users) };
        *place = Some((Instant::now(), link.clone()));
        Ok(link)
    }

    /// Forgets what a cluster's users were, after one was changed.
    pub(crate) fn forget(&self, namespace: &str, cluster: &str) {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.remove(&(namespace.to_owned(), cluster.to_owned()));
    }
}
