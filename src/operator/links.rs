//! Which broker of a cluster is asked, and what it said a moment ago: topics share one answer, so that a thousand of them
//! cost a broker one call and not a thousand.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ferrymq_admin_api::{CallError, Client as AdminClient, TopicDeclaration, TopicRemoval, TopicView};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Api, Client, ResourceExt, api::ListParams};

use crate::{
    error::{ReconcileError, chain},
    names::{self, ADMIN_PORT},
};

/// How long an answer is shared.
const FRESH: Duration = Duration::from_millis(1_500);

/// The base URL of a pod's admin API.
pub(crate) fn admin_url(pod_ip: &str) -> String {
    if pod_ip.contains(':') {
        format!("http://[{pod_ip}]:{ADMIN_PORT}")
    } else {
        format!("http://{pod_ip}:{ADMIN_PORT}")
    }
}

/// What a Secret holds under a key, as text.
pub(crate) fn secret_text(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok().filter(|text| !text.is_empty())
}

/// The clusters' brokers, as topics ask them.
pub(crate) struct Links {
    client: Client,
    /// By namespace and name.
    clusters: Mutex<HashMap<(String, String), Place>>,
}

/// Where an answer is put; locked while it is fetched, so that all wait for the one call.
type Place = Arc<tokio::sync::Mutex<Option<Shared>>>;

#[derive(Clone)]
struct Shared {
    at: Instant,
    link: Link,
}

/// A broker that answered, and the topics that it has.
#[derive(Clone)]
pub(crate) struct Link {
    client: AdminClient,
    pub(crate) topics: Arc<Vec<TopicView>>,
}

impl Link {
    /// A link for tests of what is decided, not of what is called.
    #[cfg(test)]
    pub(crate) fn to_nobody() -> Self {
        let client = AdminClient::new("http://127.0.0.1:9", "token").unwrap();
        Self { client, topics: Arc::default() }
    }

    pub(crate) async fn declare(&self, topic: &TopicDeclaration) -> Result<TopicView, CallError> {
        self.client.declare_topic(topic).await
    }

    pub(crate) async fn remove(&self, removal: &TopicRemoval) -> Result<(), CallError> {
        self.client.remove_topic(removal).await
    }
}

/// Why no broker was found to ask.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("{cluster} has no pod that runs yet")]
    NoPods { cluster: String },
    #[error("no broker of {cluster} answers: {reason}")]
    Silent { cluster: String, reason: String },
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
}

impl Links {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, clusters: Mutex::default() }
    }

    /// A broker that answers, with topics that are at most a moment old.
    pub(crate) async fn to(&self, namespace: &str, cluster: &str) -> Result<Link, LinkError> {
        let shared = {
            let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(clusters.entry((namespace.to_owned(), cluster.to_owned())).or_default())
        };
        let mut shared = shared.lock().await;
        if let Some(shared) = shared.as_ref().filter(|shared| shared.at.elapsed() < FRESH) {
            return Ok(shared.link.clone());
        }
        *shared = None;
        let link = self.find(namespace, cluster).await?;
        *shared = Some(Shared { at: Instant::now(), link: link.clone() });
        Ok(link)
    }

    /// Forgets what a cluster's topics were, after one was changed.
    pub(crate) fn forget(&self, namespace: &str, cluster: &str) {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.remove(&(namespace.to_owned(), cluster.to_owned()));
    }

    async fn find(&self, namespace: &str, cluster: &str) -> Result<Link, LinkError> {
        let secret = names::token_secret(cluster);
        let token = Api::<Secret>::namespaced(self.client.clone(), namespace)
            .get_opt(&secret)
            .await
            .map_err(|source| ReconcileError::Read { what: format!("Secret {secret}"), source })?
            .and_then(|secret| secret_text(&secret, names::TOKEN_FILE))
            .ok_or_else(|| LinkError::NoPods { cluster: cluster.to_owned() })?;
        let pods = Api::<Pod>::namespaced(self.client.clone(), namespace)
            .list(&ListParams::default().labels(&names::selector_text(cluster)))
            .await
            .map_err(|source| ReconcileError::Read { what: format!("the pods of {cluster}"), source })?;
        let mut reason = None;
        for pod in pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            let Some(ip) = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()) else { continue };
            let client = AdminClient::new(&admin_url(ip), &token).map_err(ReconcileError::from)?;
            match client.topics().await {
                Ok(topics) => return Ok(Link { client, topics: Arc::new(topics) }),
                Err(error) => reason = Some(format!("{}: {}", pod.name_any(), chain(&error))),
            }
        }
        match reason {
            Some(reason) => Err(LinkError::Silent { cluster: cluster.to_owned(), reason }),
            None => Err(LinkError::NoPods { cluster: cluster.to_owned() }),
        }
    }
}
