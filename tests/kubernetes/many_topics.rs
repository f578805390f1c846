//! Thousands of Topics: how long they take from cold, that they cost nothing at rest, and that what a protocol changes is
//! mended at once all the same.

use std::collections::HashSet;
use std::pin::pin;
use std::time::{Duration, Instant};

use ferrymq_api::{MessageQueue, Topic};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use serde_json::json;

use crate::command::kubectl;
use crate::faults;
use crate::install::{self, operators};
use crate::traffic::connect;
use crate::world::{READY, World, until};

const TOPICS: usize = 5_000;

/// Clusters that are there besides, and paused.
const CLUSTERS: usize = 100;

/// The most memory of an operator that looks after all of it.
const MOST_BYTES: u64 = 64 << 20;

/// How long all of them may take from a cold operator, on a machine that does all of it: API server, brokers and operator.
const FROM_COLD: Duration = Duration::from_secs(120);

/// How long it may take until what a client did to a topic is mended.
const MENDED: Duration = Duration::from_secs(2);

/// For how long requests are counted.
const AT_REST: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn thousands_of_topics_are_made_rest_and_are_mended() {
    let world = World::with_cluster("many-topics").await;
    let away = operators(&world, 0).await;
    let topics: Api<Topic> = world.api();
    let made = stream::iter(0..TOPICS).map(|number| {
        let topics = topics.clone();
        async move { topics.create(&PostParams::default(), &topic(number)).await }
    });
    let clusters: Api<MessageQueue> = world.api();
    for number in 0..CLUSTERS {
        clusters.create(&PostParams::default(), &paused(number)).await.expect("clusters can be made");
    }
    made.buffer_unordered(16).try_for_each(async |_| Ok(())).await.expect("topics can be made");

    let since = Instant::now();
    drop(away);
    // Watched, as thousands in a list cost the API server something each time.
    let mut changes = pin!(watcher(topics, watcher::Config::default()).default_backoff().applied_objects());
    let mut ready = HashSet::new();
    while ready.len() < TOPICS {
        let left = (FROM_COLD * 2).saturating_sub(since.elapsed());
        let change = tokio::time::timeout(left, changes.try_next()).await.expect("all topics become ready in time");
        if let Some(topic) = change.expect("topics can be watched").filter(is_ready) {
            ready.insert(topic.name_any());
        }
    }
    let took = since.elapsed();
    println!("measured: {TOPICS} Topics ready from cold: {:.1} s", took.as_secs_f64());

    let before = requests();
    tokio::time::sleep(AT_REST).await;
    let mut memory = None;
    if faults::possible() {
        let bytes = faults::memory_of(&install::operator(&world).await.remove(0));
        println!(
            "measured: memory of the operator with {TOPICS} Topics, {CLUSTERS} clusters: {:.1} MB",
            bytes as f64 / 1e6
        );
        memory = Some(bytes);
    }
    let each_second = (requests() - before) / AT_REST.as_secs_f64();
    println!("measured: requests for {TOPICS} Topics and their cluster at rest: {each_second:.2} a second");

    let link = until("a broker to answer", READY, async || connect(&world.brokers().await[0].uri).await).await;
    let deleted = link.channel.queue_delete("q-4711".into(), QueueDeleteOptions::default()).await;
    deleted.expect("a queue can be deleted");
    let since = Instant::now();
    link.close().await;
    until("the queue to be there again", READY, async || has_queue(&world, "q-4711").await.then_some(())).await;
    let mended = since.elapsed();
    println!("measured: a queue that a client deleted is there again after {:.1} s", mended.as_secs_f64());

    let since = Instant::now();
    kubectl(&["delete", "namespace", &world.namespace, "--timeout=300s"]);
    println!("measured: end of a namespace with {TOPICS} Topics: {:.1} s", since.elapsed().as_secs_f64());
    assert!(took < FROM_COLD, "{took:?}");
    assert!(memory.is_none_or(|bytes| bytes < MOST_BYTES), "{memory:?}");
    assert!(each_second < 1.0, "{each_second}");
    assert!(mended < MENDED, "{mended:?}");
}

fn topic(number: usize) -> Topic {
    let topic = json!({
        "apiVersion": "ferrymq.io/v1alpha1", "kind": "Topic", "metadata": {"name": format!("t-{number}")},
        "spec": {"cluster": "orders", "queues": [{"name": format!("q-{number}")}]},
    });
    serde_json::from_value(topic).expect("it is a Topic")
}

fn paused(number: usize) -> MessageQueue {
    let cluster = json!({
        "apiVersion": "ferrymq.io/v1alpha1", "kind": "MessageQueue", "metadata": {"name": format!("c-{number}")},
        "spec": {"paused": true, "storage": {"size": "1Gi"}},
    });
    serde_json::from_value(cluster).expect("it is a MessageQueue")
}

fn is_ready(topic: &Topic) -> bool {
    let conditions = topic.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Requests that the API server has answered for our resources, but for watches.
fn requests() -> f64 {
    let metrics = kubectl(&["get", "--raw", "/metrics"]);
    let lines = metrics.lines().filter(|line| line.starts_with("apiserver_request_total{"));
    let ours = lines.filter(|line| line.contains("group=\"ferrymq.io\"") && !line.contains("verb=\"WATCH\""));
    ours.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

async fn has_queue(world: &World, queue: &str) -> bool {
    let Some(link) = connect(&world.brokers().await[1].uri).await else { return false };
    let options = QueueDeclareOptions::default().passive();
    let declared = link.channel.queue_declare(queue.into(), options, FieldTable::default()).await;
    link.close().await;
    declared.is_ok()
}
