//! A cluster gets more brokers, fewer, too few, none, and what it had again.

use std::time::{Duration, Instant};

use ferrymq_api::MessageQueue;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::ListParams;

use crate::traffic::Traffic;
use crate::world::{READY, TOPIC, World, until};

/// An autoscaler looks every 15 seconds.
const AUTOSCALED: Duration = Duration::from_secs(60);

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_cluster_is_scaled_up_and_down_under_load_and_to_zero_and_back() {
    let world = World::with_cluster("scaled").await;
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    let mut traffic = Traffic::new(&world).await;
    for broker in ["orders-0", "orders-1"] {
        traffic.publish(broker, "jobs", broker);
    }
    traffic.consume("work", "orders-0");
    traffic.flowing(500, READY).await;

    // The brokers that come in get their share.
    let since = Instant::now();
    scale(&world, 5);
    world.condition::<MessageQueue>("orders", "ScaleComplete", ("True", "AllRunning"), READY).await;
    until("every broker to hold a share of the shards", READY, async || {
        shares(&world).await.filter(|it| spread(it, 5))
    })
    .await;
    world.healthy().await;
    told("3 to 5 brokers", &traffic, since);

    // Those that go are emptied first; nobody notices who is connected elsewhere.
    let since = Instant::now();
    traffic.disturb(&["orders-3", "orders-4"]);
    scale(&world, 3);
    let draining = world.condition::<MessageQueue>("orders", "ScaleComplete", ("False", "ScalingDown"), READY).await;
    println!("said: {draining}");
    world.condition::<MessageQueue>("orders", "ScaleComplete", ("True", "AllRunning"), READY).await;
    until("the volumes of those that went to be gone", READY, async || (claims(&world).await == 3).then_some(())).await;
    world.healthy().await;
    traffic.find_brokers(&world).await;
    traffic.whole();
    assert_eq!(world.pods().await.len(), 3);
    assert!(shares(&world).await.is_some_and(|shares| spread(&shares, 3)));
    told("5 to 3 brokers", &traffic, since);

    // Each queue has three mirrors.
    scale(&world, 2);
    let refused = world.condition::<MessageQueue>("orders", "Stalled", ("True", "ScaleDownRefused"), READY).await;
    assert!(refused.contains("queues with 3 mirrors"), "{refused}");
    assert_eq!(world.pods().await.len(), 3);
    scale(&world, 3);
    world.condition::<MessageQueue>("orders", "Stalled", ("False", "NothingInTheWay"), READY).await;

    // None at all: what was confirmed waits on the volumes.
    traffic.flowing(200, READY).await;
    traffic.disturb(&["orders-0", "orders-1", "orders-2"]);
    scale(&world, 0);
    world.condition::<MessageQueue>("orders", "Ready", ("True", "ScaledToZero"), READY).await;
    until("no pod to be left", READY, async || world.pods().await.is_empty().then_some(())).await;
    assert_eq!(claims(&world).await, 3);
    let since = Instant::now();
    scale(&world, 3);
    world.condition::<MessageQueue>("orders", "Ready", ("True", "AllServing"), READY).await;
    println!("measured: from no broker to three that serve: {:.1} s", since.elapsed().as_secs_f64());
    traffic.find_brokers(&world).await;
    traffic.whole();
    traffic.flowing(200, READY).await;

    let report = traffic.settle().await;
    println!("measured: scaled up, down, to zero and back: {report}");
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn an_autoscaler_scales_a_cluster_under_load() {
    let world = World::with_cluster("autoscaled").await;
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    let mut traffic = Traffic::new(&world).await;
    traffic.publish("anybody", "jobs", "orders-0");
    traffic.consume("work", "orders-1");
    traffic.flowing(200, READY).await;
    // By its bounds, which it keeps without any metric.
    world.apply(&autoscaler(4, 5));
    let grown = async || (world.cluster().await.spec.replicas == 4).then_some(());
    until("the autoscaler to ask for a fourth broker", AUTOSCALED, grown).await;
    world.condition::<MessageQueue>("orders", "ScaleComplete", ("True", "AllRunning"), READY).await;
    until("the fourth broker to hold a share", READY, async || shares(&world).await.filter(|it| spread(it, 4))).await;
    world.healthy().await;
    traffic.disturb(&["orders-3"]);
    world.apply(&autoscaler(1, 3));
    let shrunk = async || (world.cluster().await.spec.replicas == 3).then_some(());
    until("the autoscaler to ask for three brokers again", AUTOSCALED, shrunk).await;
    world.condition::<MessageQueue>("orders", "ScaleComplete", ("True", "AllRunning"), READY).await;
    until("the fourth broker to be gone", READY, async || (world.pods().await.len() == 3).then_some(())).await;
    world.healthy().await;
    traffic.whole();
    traffic.flowing(200, READY).await;
    println!("measured: scaled by an autoscaler: {}", traffic.settle().await);
}

fn autoscaler(least: u32, most: u32) -> String {
    format!(
        "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: orders}}
spec:
  scaleTargetRef: {{apiVersion: ferrymq.io/v1alpha1, kind: MessageQueue, name: orders}}
  minReplicas: {least}
  maxReplicas: {most}
  metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 80}}}}}}]
"
    )
}

fn scale(world: &World, replicas: u32) {
    world.kubectl(&["scale", "messagequeue/orders", &format!("--replicas={replicas}")]);
}

fn told(what: &str, traffic: &Traffic, since: Instant) {
    for (publisher, pause) in traffic.pauses(since) {
        let (took, pause) = (since.elapsed().as_secs_f64(), pause.as_millis());
        println!("measured: {what} in {took:.1} s: longest pause of the publisher at {publisher}: {pause} ms");
    }
}

/// How many shards each broker holds, as the status has it.
async fn shares(world: &World) -> Option<Vec<i32>> {
    world.cluster().await.status?.nodes.into_iter().map(|node| node.replicas).collect()
}

/// Every broker holds something, and of each shard there are three mirrors. The brokers of a zone share what is in it; a zone
/// with fewer brokers gives each of them more.
fn spread(shares: &[i32], brokers: usize) -> bool {
    shares.len() == brokers && shares.iter().all(|share| *share > 0) && shares.iter().sum::<i32>() == 36
}

/// Volumes that there are, without those that go.
async fn claims(world: &World) -> usize {
    let selected = ListParams::default().labels("ferrymq.io/cluster=orders");
    let claims = world.api::<PersistentVolumeClaim>().list(&selected).await.expect("claims can be listed").items;
    claims.iter().filter(|claim| claim.metadata.deletion_timestamp.is_none()).count()
}
