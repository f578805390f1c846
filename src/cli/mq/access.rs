//! The resources of clusters, and a broker that answers.

use std::time::Duration;

use ferrymq_admin_api::{Client as AdminClient, ClusterStatus};
use ferrymq_api::{MessageQueue, Topic};
use ferrymq_tls::{CA_FILE, Trust};
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Pod, Secret},
};
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::mq::{
    Arguments, PluginError,
    forward::{ADMIN_PORT, Forward},
};
use crate::told::told;

/// The label with a cluster's name, of all that it has.
const CLUSTER_LABEL: &str = "ferrymq.io/cluster";

/// The longest that a call to the API server may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The volume of a pod whose broker speaks TLS at its own ports.
const INTERNAL_TLS_VOLUME: &str = "internal-tls";

fn speaks_tls(pod: &Pod) -> bool {
    let mut volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.any(|volume| volume.name == INTERNAL_TLS_VOLUME)
}

/// What the API server has of clusters in one namespace.
pub(crate) struct Access {
    client: Client,
    pub(crate) namespace: String,
}

/// A broker that answered, for as long as this is kept.
pub(crate) struct Broker {
    /// Its admin API.
    pub(crate) client: AdminClient,
    _forward: Forward,
}

impl Access {
    pub(crate) async fn new(arguments: &Arguments) -> Result<Self, PluginError> {
        let unknown = |error: &dyn std::error::Error| PluginError::Kubeconfig(told(error));
        let mut config = match &arguments.context {
            Some(context) => {
                let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
                let file = Kubeconfig::read().map_err(|error| unknown(&error))?;
                Config::from_custom_kubeconfig(file, &options).await.map_err(|error| unknown(&error))?
            }
            None => Config::infer().await.map_err(|error| unknown(&error))?,
        };
        config.connect_timeout = Some(PATIENCE);
        let namespace = arguments.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| unknown(&error))?;
        Ok(Self { client, namespace })
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A cluster, as its resource is now.
    pub(crate) async fn cluster(&self, name: &str) -> Result<MessageQueue, PluginError> {
        let found = self.api::<MessageQueue>().get_opt(name).await;
        let found = found.map_err(|error| PluginError::read(format!("MessageQueue {name}"), &error))?;
        found.ok_or_else(|| PluginError::NotFound {
            kind: "MessageQueue",
            name: name.to_owned(),
            namespace: self.namespace.clone(),
        })
    }

    /// The topics, of one cluster or of all.
    pub(crate) async fn topics(&self, cluster: Option<&str>) -> Result<Vec<Topic>, PluginError> {
        if let Some(name) = cluster {
            self.cluster(name).await?;
        }
        let mut topics = self.list::<Topic>("Topics", &ListParams::default()).await?;
        topics.retain(|topic| cluster.is_none_or(|cluster| topic.spec.cluster == cluster));
        Ok(topics)
    }

    /// Everything of a kind that belongs to a cluster.
    pub(crate) async fn of_cluster<K>(&self, what: &str, cluster: &str) -> Result<Vec<K>, PluginError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug,
        K: serde::de::DeserializeOwned,
    {
        self.list(what, &ListParams::default().labels(&format!("{CLUSTER_LABEL}={cluster}"))).await
    }

    pub(crate) async fn list<K>(&self, what: &str, selected: &ListParams) -> Result<Vec<K>, PluginError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug,
        K: serde::de::DeserializeOwned,
    {
        let found = tokio::time::timeout(PATIENCE, self.api::<K>().list(selected)).await;
        let read = |reason| PluginError::Read { what: format!("the {what}"), reason };
        match found {
            Ok(Ok(found)) => Ok(found.items),
            Ok(Err(error)) => Err(read(told(&error))),
            Err(_) => Err(read(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    /// The pods of a cluster, by their names.
    pub(crate) async fn pods(&self, cluster: &str) -> Result<Vec<Pod>, PluginError> {
        let mut pods = self.of_cluster::<Pod>("pods", cluster).await?;
        pods.sort_by_key(ResourceExt::name_any);
        Ok(pods)
    }

    /// The admin API of one broker, through the API server.
    pub(crate) async fn broker(&self, cluster: &str, pod: &str) -> Result<Broker, PluginError> {
        let token = self.secret(format!("{cluster}-token"), "token").await?;
        let found = self.api::<Pod>().get(pod).await;
        let found = found.map_err(|error| PluginError::read(format!("Pod {pod}"), &error))?;
        let forward = Forward::to(self.api::<Pod>(), pod, ADMIN_PORT).await?;
        let address = forward.address();
        let client = if speaks_tls(&found) {
            let authority = self.secret(format!("{cluster}-internal-ca"), CA_FILE).await?;
            let name = format!("{cluster}-nodes.{}.svc", self.namespace);
            AdminClient::over_tls(&format!("https://{address}"), &token, &Trust::new(authority.as_bytes(), &name)?)?
        } else {
            AdminClient::new(&format!("http://{address}"), &token)?
        };
        Ok(Broker { client, _forward: forward })
    }

    /// What a Secret has under a key, as text.
    async fn secret(&self, name: String, key: &str) -> Result<String, PluginError> {
        let found = self.api::<Secret>().get_opt(&name).await;
        let found = found.map_err(|error| PluginError::read(format!("Secret {name}"), &error))?;
        let bytes = found.and_then(|secret| secret.data?.remove(key)).map(|bytes| bytes.0);
        bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| PluginError::NotFound {
            kind: "Secret",
            name,
            namespace: self.namespace.clone(),
        })
    }

    /// A broker that serves, and what it says of its cluster.
    pub(crate) async fn any_broker(&self, cluster: &str) -> Result<(Broker, ClusterStatus), PluginError> {
        let mut reason = "it has no pod".to_owned();
        for pod in self.pods(cluster).await? {
            let name = pod.name_any();
            let broker = self.broker(cluster, &name).await?;
            match broker.client.cluster().await {
                Ok(view) => return Ok((broker, view)),
                Err(error) => reason = format!("{name}: {}", told(&error)),
            }
        }
        Err(PluginError::Silent { cluster: cluster.to_owned(), reason })
    }
}
