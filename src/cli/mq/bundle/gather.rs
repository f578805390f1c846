//! What goes into the bundle. What cannot be had is named in it, with the reason: a bundle with a gap is worth more than none.

use ferrymq_admin_api::CallError;
use ferrymq_api::MessageQueue;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, Event, PersistentVolumeClaim, Pod, Service, ServiceAccount},
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Resource, ResourceExt,
    api::{ListParams, LogParams},
};
use serde::{Serialize, de::DeserializeOwned};

use super::Entry;
use crate::mq::{
    access::Access,
    paint::Paint,
    status::draw,
    topics::{self, Row},
    view::View,
};
use crate::told::told;

/// The most bytes of one log.
const LOG_BYTES: i64 = 4 << 20;

/// The most events.
const EVENTS: u32 = 2_000;

/// Files, and what is missing.
#[derive(Default)]
struct Bundle {
    entries: Vec<Entry>,
    missing: Vec<String>,
}

pub(super) async fn gather(access: &Access, cluster: &MessageQueue) -> Vec<Entry> {
    let name = cluster.name_any();
    let mut bundle = Bundle::default();
    bundle.entries.push(Entry::new("status.txt", draw(&View::of(cluster), Paint::new(false))));
    bundle.json("resources/messagequeue.json", bare(cluster.clone()));
    match access.topics(Some(&name)).await {
        Ok(topics) => {
            bundle.entries.push(Entry::new("topics.txt", topics::draw(&Row::all(&topics))));
            bundle.json("resources/topics.json", topics.into_iter().map(bare).collect::<Vec<_>>());
        }
        Err(error) => bundle.lacks("resources/topics.json", &error),
    }
    bundle.kind::<StatefulSet>(access, &name, "statefulsets").await;
    bundle.kind::<Service>(access, &name, "services").await;
    bundle.kind::<ConfigMap>(access, &name, "configmaps").await;
    bundle.kind::<ServiceAccount>(access, &name, "serviceaccounts").await;
    bundle.kind::<PodDisruptionBudget>(access, &name, "poddisruptionbudgets").await;
    bundle.kind::<PersistentVolumeClaim>(access, &name, "persistentvolumeclaims").await;
    bundle.kind::<Pod>(access, &name, "pods").await;
    match access.list::<Event>("events", &ListParams::default().limit(EVENTS)).await {
        Ok(events) => bundle.json("events.json", events.into_iter().map(bare).collect::<Vec<_>>()),
        Err(error) => bundle.lacks("events.json", &error),
    }
    match access.pods(&name).await {
        Ok(pods) => {
            for pod in pods {
                bundle.pod(access, &name, &pod.name_any()).await;
            }
        }
        Err(error) => bundle.lacks("logs", &error),
    }
    bundle.with_index(&name)
}

impl Bundle {
    fn json(&mut self, path: &str, what: impl Serialize) {
        match serde_json::to_string_pretty(&what) {
            Ok(text) => self.entries.push(Entry::new(path, text)),
            Err(error) => self.lacks(path, &error),
        }
    }

    fn lacks(&mut self, path: &str, error: &dyn std::error::Error) {
        self.missing.push(format!("{path}: {}", told(error)));
    }

    async fn kind<K>(&mut self, access: &Access, cluster: &str, plural: &str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug,
        K: DeserializeOwned + Serialize,
    {
        let path = format!("resources/{plural}.json");
        match access.of_cluster::<K>(plural, cluster).await {
            Ok(objects) => self.json(&path, objects.into_iter().map(bare).collect::<Vec<_>>()),
            Err(error) => self.lacks(&path, &error),
        }
    }

    /// A pod's log, that of its container before, and what its broker says.
    async fn pod(&mut self, access: &Access, cluster: &str, pod: &str) {
        for (previous, path) in [(false, format!("logs/{pod}.log")), (true, format!("logs/{pod}.previous.log"))] {
            let wanted = LogParams { limit_bytes: Some(LOG_BYTES), previous, ..LogParams::default() };
            match access.api::<Pod>().logs(pod, &wanted).await {
                Ok(text) => self.entries.push(Entry::new(path, text)),
                // Most pods have had one container only.
                Err(_) if previous => {}
                Err(error) => self.lacks(&path, &error),
            }
        }
        match access.broker(cluster, pod).await {
            Ok(broker) => {
                let client = &broker.client;
                self.view(&format!("brokers/{pod}/node.json"), client.node().await);
                self.view(&format!("brokers/{pod}/cluster.json"), client.cluster().await);
                self.view(&format!("brokers/{pod}/topics.json"), client.topics().await);
                self.view(&format!("brokers/{pod}/safe-to-stop.json"), client.safe_to_stop().await);
            }
            Err(error) => self.lacks(&format!("brokers/{pod}"), &error),
        }
    }

    fn view(&mut self, path: &str, answer: Result<impl Serialize, CallError>) {
        match answer {
            Ok(answer) => self.json(path, answer),
            Err(error) => self.lacks(path, &error),
        }
    }

    fn with_index(mut self, cluster: &str) -> Vec<Entry> {
        let mut text =
            format!("What there is of the cluster {cluster}. Begin with status.txt. No Secrets are in it.\n\n");
        for entry in &self.entries {
            text.push_str(&format!("{}\n", entry.path));
        }
        if !self.missing.is_empty() {
            text.push_str("\nmissing:\n");
            for missing in &self.missing {
                text.push_str(&format!("{missing}\n"));
            }
        }
        self.entries.insert(0, Entry::new("index.txt", text));
        self.entries
    }
}

/// An object without what only machines read: who wrote which field, and what was applied last.
fn bare<K: Resource>(mut object: K) -> K {
    let metadata = object.meta_mut();
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_reason() {
        let mut bundle = Bundle::default();
        bundle.json("events.json", [1]);
        bundle.lacks("logs/orders-0.log", &std::io::Error::other("the container is waiting to start"));
        let index = bundle.with_index("orders").remove(0);
        assert_eq!(index.path, "index.txt");
        assert!(index.text.contains("\nevents.json\n"), "{}", index.text);
        assert!(
            index.text.contains("missing:\nlogs/orders-0.log: the container is waiting to start"),
            "{}",
            index.text
        );
    }
}
