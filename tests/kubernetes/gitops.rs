//! What tools that apply what is in Git ask of resources: dry runs that do nothing, diffs that are empty at rest, statuses
//! that tell when to go on; and how much an operator at rest asks of the API server.

use std::fmt::Debug;
use std::path::Path;
use std::time::{Duration, Instant};

use ferrymq_api::{MessageQueue, Topic};
use ferrymq_testkit::Kstatus;
use k8s_openapi::NamespaceResourceScope;
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::command::{fed, kubectl, try_kubectl};
use crate::faults;
use crate::install::{self, NAMESPACE};
use crate::metrics::samples;
use crate::world::{READY, THREE_BROKERS, TOPIC, World, until};

/// The operator looks at what is at rest every ten seconds.
const REST: Duration = Duration::from_secs(15);

/// How long requests are counted.
const COUNTED: Duration = Duration::from_secs(60);

/// Looks at a cluster.
const RECONCILES: &str = "ferrymq_operator_reconciles_total{kind=\"MessageQueue\",result=\"done\"}";

/// By this schema the API server counts what the operator asks for, and nobody else.
const FLOW_SCHEMA: &str = "
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: ferrymq-story}
spec:
  matchingPrecedence: 500
  priorityLevelConfiguration: {name: workload-low}
  rules:
    - subjects:
        - {kind: ServiceAccount, serviceAccount: {name: ferrymq-operator, namespace: ferrymq-system}}
      resourceRules:
        - {verbs: ['*'], apiGroups: ['*'], resources: ['*'], clusterScope: true, namespaces: ['*']}
      nonResourceRules:
        - {verbs: ['*'], nonResourceURLs: ['*']}
";

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn what_lies_in_git_is_applied_again_and_again_and_changes_nothing() {
    let world = World::new("gitops").await;
    let files = format!("{THREE_BROKERS}---{TOPIC}");
    let everything = ["get", "mq,mqt,statefulsets,services,secrets,pdb,pvc,pods", "--output=name"];
    let before = world.kubectl(&everything);
    in_namespace(&world, &["apply", "--dry-run=server", "-f", "-"], &files).expect("a dry run is admitted");
    assert_eq!(world.kubectl(&everything), before, "a dry run makes nothing");

    world.apply(&files);
    assert_eq!(judged::<MessageQueue>(&world, "orders").await, Kstatus::InProgress, "nobody has seen it yet");
    becomes::<MessageQueue>(&world, "orders", Kstatus::Current).await;
    becomes::<Topic>(&world, "jobs", Kstatus::Current).await;
    let there = at_rest(&world).await;
    for _ in 0..2 {
        let said = in_namespace(&world, &["apply", "-f", "-"], &files).expect("it is admitted again");
        assert_eq!(said.matches(" unchanged").count(), 2, "{said}");
    }
    let raised = r#"{"spec":{"replicas":5}}"#;
    world.kubectl(&["patch", "mq/orders", "--type=merge", "-p", raised, "--dry-run=server"]);
    assert_eq!(versions(&world).await, there, "neither did anything");
    in_namespace(&world, &["diff", "-f", "-"], &files).expect("kubectl diff finds nothing");

    // By fields of one's own, as newer tools apply.
    let owned = ["apply", "--server-side", "--force-conflicts", "--field-manager=git", "-f", "-"];
    let generations = generations(&world).await;
    for _ in 0..2 {
        in_namespace(&world, &owned, &files).expect("it is admitted");
    }
    let diff = ["diff", "--server-side", "--force-conflicts", "--field-manager=git", "-f", "-"];
    in_namespace(&world, &diff, &files).expect("kubectl diff finds nothing");
    assert_eq!(self::generations(&world).await, generations, "its spec is the same");
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn an_operator_at_rest_asks_for_less_than_one_thing_a_second() {
    let world = World::with_cluster("at-rest").await;
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    let _schema = FlowSchema::new();
    until("the API server to count", READY, async || (requests() > 0).then_some(())).await;
    let there = at_rest(&world).await;
    let (since, first) = (Instant::now(), requests());
    let before = worked(&world).await;
    tokio::time::sleep(COUNTED).await;
    let after = worked(&world).await;
    let asked = requests().saturating_sub(first);
    let a_second = f64::from(u32::try_from(asked).expect("a few")) / since.elapsed().as_secs_f64();
    println!("measured: an operator at rest with one cluster and one topic: {a_second:.2} API requests a second");
    assert!(a_second < 1.0, "{asked} requests in {} s", COUNTED.as_secs());
    assert_eq!(versions(&world).await, there, "at rest nothing is written");
    if let Some(((time, count), (then, counted))) = after.zip(before) {
        let each = (time - then) / (count - counted) * 1000.0;
        println!(
            "measured: processor time of a reconcile that changes nothing, all else at rest counted in: {each:.1} ms"
        );
        assert!(each < 20.0, "{each:.1} ms");
    }
}

/// The processor time of the operator in seconds, and how often it has looked at a cluster; none where it is not on this
/// machine.
async fn worked(world: &World) -> Option<(f64, f64)> {
    let operator = install::operator(world).await.into_iter().next().filter(|_| faults::possible())?;
    let count = samples(&operator).await.get(RECONCILES).copied().expect("reconciles are counted");
    Some((faults::processor_seconds(&operator), count))
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn who_waits_by_kstatus_is_told_when_to_go_on() {
    let world = World::with_cluster("kstatus").await;
    world.apply(TOPIC);
    becomes::<Topic>(&world, "jobs", Kstatus::Current).await;
    becomes::<MessageQueue>(&world, "orders", Kstatus::Current).await;
    world.kubectl(&["scale", "mq/orders", "--replicas=4"]);
    assert_eq!(judged::<MessageQueue>(&world, "orders").await, Kstatus::InProgress, "it was only asked for");
    becomes::<MessageQueue>(&world, "orders", Kstatus::Current).await;
    assert_eq!(world.pods().await.len(), 4);

    // Fewer brokers than queues have mirrors: a person has to change something.
    world.kubectl(&["scale", "mq/orders", "--replicas=2"]);
    becomes::<MessageQueue>(&world, "orders", Kstatus::Failed).await;
    world.kubectl(&["scale", "mq/orders", "--replicas=4"]);
    becomes::<MessageQueue>(&world, "orders", Kstatus::Current).await;

    world.apply(&TOPIC.replace("name: jobs", "name: lost").replace("cluster: orders", "cluster: nowhere"));
    becomes::<Topic>(&world, "lost", Kstatus::Failed).await;
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn plain_manifests_and_their_overlay_are_admitted() {
    let _world = World::new("manifests").await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/overlays/production");
    let arguments = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--field-manager=git", "-k"];
    let said = kubectl(&[&arguments[..], &[&folder.to_string_lossy()]].concat());
    assert!(said.contains("deployment.apps/ferrymq-operator"), "{said}");
    assert!(kubectl(&["kustomize", &folder.to_string_lossy()]).contains("image: registry.example/ferrymq:"));
}

fn in_namespace(world: &World, arguments: &[&str], yaml: &str) -> Result<String, String> {
    fed(&[&["--namespace", &world.namespace], arguments].concat(), yaml)
}

/// What kstatus makes of a resource now.
async fn judged<K>(world: &World, name: &str) -> Kstatus
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
{
    let resource = world.api::<K>().get(name).await.expect("it is there");
    Kstatus::of(&serde_json::to_value(resource).expect("a resource is JSON"))
}

async fn becomes<K>(world: &World, name: &str, expected: Kstatus)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
{
    until(&format!("{name} to be {expected:?}"), READY, async || {
        (judged::<K>(world, name).await == expected).then_some(())
    })
    .await;
}

/// Generation and version of the cluster and of the topic.
async fn versions(world: &World) -> [(Option<i64>, Option<String>); 2] {
    let queue = world.cluster().await;
    let topic = world.api::<Topic>().get("jobs").await.expect("it is there");
    [(queue.metadata.generation, queue.resource_version()), (topic.metadata.generation, topic.resource_version())]
}

/// Waits until nobody has written anything for longer than the operator lets a status wait; what there is then.
async fn at_rest(world: &World) -> [(Option<i64>, Option<String>); 2] {
    world.healthy().await;
    let mut steady = (versions(world).await, Instant::now());
    until("nothing to be written any more", READY, async || {
        let now = versions(world).await;
        if now != steady.0 {
            steady = (now, Instant::now());
        }
        (steady.1.elapsed() > REST).then(|| steady.0.clone())
    })
    .await
}

async fn generations(world: &World) -> [Option<i64>; 2] {
    versions(world).await.map(|(generation, _)| generation)
}

/// The flow schema, which goes with its story.
struct FlowSchema;

impl FlowSchema {
    fn new() -> Self {
        kubectl(&["get", "serviceaccount", "ferrymq-operator", "--namespace", NAMESPACE]);
        fed(&["apply", "-f", "-"], FLOW_SCHEMA).expect("a flow schema is admitted");
        Self
    }
}

impl Drop for FlowSchema {
    fn drop(&mut self) {
        let _ = try_kubectl(&["delete", "flowschema", "ferrymq-story", "--ignore-not-found"]);
    }
}

/// How many requests of the operator the API server has counted.
fn requests() -> u64 {
    let metrics = kubectl(&["get", "--raw", "/metrics"]);
    let counted = metrics.lines().filter(|line| {
        line.starts_with("apiserver_flowcontrol_dispatched_requests_total{")
            && line.contains("flow_schema=\"ferrymq-story\"")
    });
    counted.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).map(|count| count as u64).sum()
}
