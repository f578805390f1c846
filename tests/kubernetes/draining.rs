//! A broker that holds a gigabyte is emptied and goes, and clients hardly notice.

use std::time::{Duration, Instant};

use ferrymq_api::MessageQueue;
use serde_json::Value;

use crate::bench::bench;
use crate::world::{Broker, READY, World, until};

const FOUR_BROKERS: &str = "
apiVersion: ferrymq.io/v1alpha1
kind: MessageQueue
metadata: {name: orders}
spec: {replicas: 4, storage: {size: 5Gi, reclaimPolicy: Delete}}
";

/// A gigabyte, in messages of 64 KiB.
const HELD: [&str; 10] = [
    "--queue-prefix=held-",
    "--queues=12",
    "--publishers=4",
    "--consumers=0",
    "--size=65536",
    "--messages=16384",
    "--confirms=16",
    "--quiet",
    "--json=-",
    "--durable",
];

/// Clients at work, which are measured.
const STEADY: [&str; 9] = [
    "--queue-prefix=steady-",
    "--queues=4",
    "--publishers=4",
    "--consumers=4",
    "--rate=400",
    "--warm-up=2",
    "--seconds=10",
    "--quiet",
    "--json=-",
];

/// How long the broker may take to be emptied.
const DRAINED: Duration = Duration::from_secs(180);

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_gigabyte_is_moved_off_a_broker_and_clients_hardly_notice() {
    let world = World::new("drain").await;
    world.apply(FOUR_BROKERS);
    world.wait_ready("messagequeue/orders", READY);
    let brokers = world.brokers().await;
    let filled = bench(&brokers, &HELD).await;
    assert_eq!(filled["confirmed"], 16384);
    world.healthy().await;
    // Of the brokers that stay, as others would be sent elsewhere.
    let stay: Vec<Broker> = brokers.into_iter().filter(|broker| broker.pod != "orders-3").collect();
    let before = p99(&bench(&stay, &STEADY).await);

    let since = Instant::now();
    world.kubectl(&["scale", "mq/orders", "--replicas=3"]);
    world.condition::<MessageQueue>("orders", "ScaleComplete", ("False", "ScalingDown"), READY).await;
    let emptied = async {
        until("the broker to be gone", DRAINED, async || (world.pods().await.len() == 3).then_some(())).await;
        since.elapsed()
    };
    let (took, meanwhile) = futures::join!(emptied, bench(&stay, &STEADY));
    let meanwhile = p99(&meanwhile);
    world.condition::<MessageQueue>("orders", "ScaleComplete", ("True", "AllRunning"), READY).await;
    world.healthy().await;
    println!(
        "measured: one of four brokers with 1 GB emptied and gone in {:.1} s; confirms meanwhile p99 {meanwhile:.1} ms, before {before:.1} ms",
        took.as_secs_f64()
    );
    assert!(meanwhile <= 2.0 * before, "{meanwhile:.1} ms while it was emptied, {before:.1} ms before");
}

/// Of the time from publish to confirm, in milliseconds.
fn p99(report: &Value) -> f64 {
    report["confirm_ms"]["p99"].as_f64().expect("confirms were measured")
}
