//! A story's namespace, and what it can ask of Kubernetes.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use ferrymq_api::{Backup, MessageQueue, Topic, User};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use crate::command::{apply, kubectl, try_kubectl};
use crate::{faults, install};

/// How long a healthy cluster may take to become ready, on a busy machine.
pub(crate) const READY: Duration = Duration::from_secs(90);

/// A story's namespace, with the operator watching it. Gone with all that is in it when the story ends.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl World {
    /// A new namespace for a story; installs the operator where it is not there yet.
    pub(crate) async fn new(story: &str) -> Self {
        install::installed();
        let client = Client::try_default().await.expect("KUBECONFIG names a cluster that answers");
        // No story meets what an interrupted one left.
        let namespace = format!("{story}-{:x}", std::process::id());
        kubectl(&["create", "namespace", &namespace]);
        // What runs in it must be content with the rights that careful clusters leave to pods.
        let labels = [&format!("ferrymq.io/story={story}"), "pod-security.kubernetes.io/enforce=restricted"];
        kubectl(&[&["label", "namespace", &namespace], &labels[..]].concat());
        println!("story: {story}, in namespace {namespace}");
        Self { client, namespace }
    }

    /// A namespace with a cluster of three brokers, ready, called `orders`.
    pub(crate) async fn with_cluster(story: &str) -> Self {
        Self::with(story, THREE_BROKERS).await
    }

    /// The same, with volumes that can be full.
    pub(crate) async fn with_sized_volumes(story: &str) -> Self {
        Self::with(story, &THREE_BROKERS.replace("size: 1Gi", "size: 1Gi, storageClassName: sized")).await
    }

    async fn with(story: &str, cluster: &str) -> Self {
        let world = Self::new(story).await;
        world.apply(cluster);
        world.wait_ready("messagequeue/orders", READY);
        world
    }

    /// Objects of this namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// `kubectl apply`. Panics where it is refused.
    pub(crate) fn apply(&self, yaml: &str) {
        apply(&self.namespace, yaml).unwrap_or_else(|complaint| panic!("refused: {complaint}\n{yaml}"));
    }

    /// What `kubectl apply` complains of. Panics where it does not.
    pub(crate) fn refused(&self, yaml: &str) -> String {
        match apply(&self.namespace, yaml) {
            Err(complaint) => complaint,
            Ok(printed) => panic!("{printed} where it should have been refused:\n{yaml}"),
        }
    }

    /// kubectl in this namespace. Panics where it fails.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(&[&["--namespace", &self.namespace], arguments].concat())
    }

    /// `kubectl wait --for=condition=Ready`; how long it took.
    pub(crate) fn wait_ready(&self, what: &str, within: Duration) -> Duration {
        self.wait_condition(what, "Ready", within)
    }

    /// `kubectl wait` for a condition; how long it took.
    pub(crate) fn wait_condition(&self, what: &str, condition: &str, within: Duration) -> Duration {
        let started = Instant::now();
        let (condition, timeout) = (format!("--for=condition={condition}"), format!("--timeout={}s", within.as_secs()));
        self.kubectl(&["wait", &condition, what, &timeout]);
        started.elapsed()
    }

    /// The cluster `orders`, as it is now.
    pub(crate) async fn cluster(&self) -> MessageQueue {
        self.api::<MessageQueue>().get("orders").await.expect("the cluster is there")
    }

    /// The broker's pod that leads a queue of a topic, and has for so long that the status cannot be behind.
    pub(crate) async fn leader(&self, topic: &str, queue: &str) -> String {
        let mut steady = (String::new(), Instant::now());
        until(&format!("{queue} to have a leader that stays"), READY, async || {
            let topic = self.api::<Topic>().get(topic).await.ok()?.status?;
            let leader = topic.queues.iter().find(|status| status.name == queue)?.leader?;
            let nodes = self.cluster().await.status?.nodes;
            let name = nodes.into_iter().find(|node| node.id == Some(leader)).map(|node| node.name)?;
            if name != steady.0 {
                steady = (name.clone(), Instant::now());
            }
            (steady.1.elapsed() > STEADY).then_some(name)
        })
        .await
    }

    /// Waits until every shard of the cluster `orders` has all of its mirrors, in sync.
    pub(crate) async fn healthy(&self) {
        self.condition::<MessageQueue>("orders", "ReplicationHealthy", ("True", "AllServing"), READY).await;
    }

    /// The pods of the cluster `orders`, running.
    pub(crate) async fn pods(&self) -> Vec<Pod> {
        let selected = kube::api::ListParams::default().labels("ferrymq.io/cluster=orders");
        let mut pods = self.api::<Pod>().list(&selected).await.expect("pods can be listed").items;
        pods.sort_by_key(|pod| pod.name_any());
        pods
    }

    /// Which pods the cluster `orders` has: one that was restarted is another one.
    pub(crate) async fn uids(&self) -> BTreeMap<String, Option<String>> {
        self.pods().await.iter().map(|pod| (pod.name_any(), pod.uid())).collect()
    }

    /// A pod that is there.
    pub(crate) async fn pod(&self, name: &str) -> Pod {
        self.api::<Pod>().get(name).await.expect("the pod is there")
    }

    /// Waits until a pod of this name is ready that is not the one with this uid.
    pub(crate) async fn replaced(&self, name: &str, uid: &str, within: Duration) {
        until(&format!("another pod {name} to be ready"), within, async || {
            let pod = self.api::<Pod>().get(name).await.ok()?;
            (pod.uid().as_deref() != Some(uid) && condition_of(pod_conditions(&pod), "Ready")).then_some(())
        })
        .await;
    }

    /// Waits until the containers of these pods, which were killed, have been started again and are ready. Until then the
    /// API server may still tell of those that are gone.
    pub(crate) async fn restarted(&self, killed: &[Pod]) {
        for pod in killed {
            let (name, before) = (pod.name_any(), container_of(pod));
            until(&format!("another container of {name} to be ready"), STARTED_AGAIN, async || {
                let pod = self.api::<Pod>().get(&name).await.ok()?;
                let is_another = container_of(&pod).is_some_and(|now| Some(now) != before);
                (is_another && condition_of(pod_conditions(&pod), "Ready")).then_some(())
            })
            .await;
        }
    }

    /// Takes the volume of a broker away, and waits until the broker is there again with another one.
    pub(crate) async fn lose_volume(&self, pod: &str) {
        let uid = self.pod(pod).await.uid().expect("a pod has a uid");
        let claim = claim(pod);
        let claims = self.api::<PersistentVolumeClaim>();
        let claim_uid = claims.get(&claim).await.expect("a broker has a volume").uid();
        self.kubectl(&["delete", "pvc", &claim, "--wait=false"]);
        faults::force_delete(&self.namespace, &[pod]);
        until("another volume", READY, async || (claims.get(&claim).await.ok()?.uid() != claim_uid).then_some(()))
            .await;
        self.replaced(pod, &uid, READY).await;
    }

    /// Where the cluster's clients connect, one URI a broker: the host reaches every pod.
    pub(crate) async fn brokers(&self) -> Vec<Broker> {
        let secret = until("the Secret for clients", READY, async || {
            let name = self.cluster().await.status?.binding?.name;
            self.api::<Secret>().get(&name).await.ok()?.data
        })
        .await;
        let text = |key: &str| String::from_utf8(secret[key].0.clone()).expect("the Secret is text");
        let uri = text("uri");
        let (before, _) = uri.split_once('@').expect("the URI has credentials");
        let port = text("port");
        let brokers = self.pods().await.into_iter().filter_map(|pod| {
            let address = pod.status.as_ref()?.pod_ip.clone()?;
            // A client that finds out within seconds that its broker is gone.
            Some(Broker { pod: pod.name_any(), uri: format!("{before}@{address}:{port}/%2f?heartbeat=2") })
        });
        brokers.collect()
    }

    /// Waits for a condition of a resource to have a status and a reason; its sentence.
    pub(crate) async fn condition<K>(&self, name: &str, kind: &str, expected: (&str, &str), within: Duration) -> String
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Conditions + Clone + Debug + DeserializeOwned,
    {
        let (status, reason) = expected;
        until(&format!("{name}: {kind} {status} because of {reason}"), within, async || {
            let resource = self.api::<K>().get(name).await.ok()?;
            let found = resource.conditions().iter().find(|condition| condition.type_ == kind)?;
            // What was said of an earlier spec is said of nothing now.
            let current = found.observed_generation >= resource.meta().generation;
            (current && found.status == status && found.reason == reason).then(|| found.message.clone())
        })
        .await
    }
}

impl World {
    /// Deletes the namespace with all that is in it, and waits until it is gone.
    pub(crate) async fn delete(self) {
        kubectl(&["delete", "namespace", &self.namespace, "--wait=true", "--timeout=180s"]);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show();
            if env::var_os("FERRYMQ_KEEP").is_some() {
                return println!("kept: namespace {}", self.namespace);
            }
        }
        let _ = try_kubectl(&["delete", "namespace", &self.namespace, "--wait=false", "--ignore-not-found"]);
    }
}

impl World {
    /// What helps to see why a story failed.
    fn show(&self) {
        let namespace = self.namespace.as_str();
        for arguments in [
            &["get", "mq,mqt,mqu,mqb,pods,pvc", "--namespace", namespace, "-o", "wide"][..],
            &["describe", "mq,mqt,mqu,mqb", "--namespace", namespace],
            &["get", "events", "--namespace", namespace, "--sort-by=.lastTimestamp"],
            &["logs", "--namespace", namespace, "--selector=ferrymq.io/cluster", "--prefix", "--tail=60"],
            &[
                "logs",
                "--namespace",
                install::NAMESPACE,
                "--selector=app.kubernetes.io/name=ferrymq-operator",
                "--tail=60",
            ],
        ] {
            println!("--- kubectl {}", arguments.join(" "));
            let (Ok(shown) | Err(shown)) = try_kubectl(arguments);
            println!("{shown}");
        }
    }
}

/// A broker, as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(crate) pod: String,
    pub(crate) uri: String,
}

/// A resource with conditions.
pub(crate) trait Conditions {
    fn conditions(&self) -> &[Condition];
}

impl Conditions for MessageQueue {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}

impl Conditions for Topic {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}

impl Conditions for User {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}

impl Conditions for Backup {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}

/// The id of a pod's one container, where it has one.
pub(crate) fn container_of(pod: &Pod) -> Option<String> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()?.container_id.clone()
}

fn pod_conditions(pod: &Pod) -> &[k8s_openapi::api::core::v1::PodCondition] {
    pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default()
}

fn condition_of(conditions: &[k8s_openapi::api::core::v1::PodCondition], kind: &str) -> bool {
    conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

/// Asks again and again until there is an answer. Panics where there is none in time.
pub(crate) async fn until<T>(what: &str, within: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < within, "waited {} s for {what}", within.as_secs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How long Kubernetes may wait with a container that was killed again and again (five minutes), and some time to start.
const STARTED_AGAIN: Duration = Duration::from_secs(330);

/// A Topic's status is at most ten seconds behind, and leaders go back to where they belong within five.
const STEADY: Duration = Duration::from_secs(16);

/// The pods of the brokers of `orders`.
pub(crate) const PODS: [&str; 3] = ["orders-0", "orders-1", "orders-2"];

/// The volume claim of a broker's pod.
pub(crate) fn claim(pod: &str) -> String {
    format!("data-{pod}")
}

/// A cluster as most users will have it, but for the size of its volumes.
pub(crate) const THREE_BROKERS: &str = "
apiVersion: ferrymq.io/v1alpha1
kind: MessageQueue
metadata: {name: orders}
spec:
  replicas: 3
  storage: {size: 1Gi, reclaimPolicy: Delete}
";

/// A topic with one queue that gets everything, `work`, on three brokers.
pub(crate) const TOPIC: &str = "
apiVersion: ferrymq.io/v1alpha1
kind: Topic
metadata: {name: jobs}
spec:
  cluster: orders
  queues: [{name: work}]
";
