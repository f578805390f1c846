//! A broker that holds a gigabyte is emptied and goes, and clients go on.

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

/// How long the broker may take to be emptied and to go.
const DRAINED: Duration = Duration::from_secs(60);

/// The longest that a publisher may wait for a confirm meanwhile, in milliseconds.
const LONGEST_PAUSE_MS: f64 = 500.0;

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_gigabyte_is_moved_off_a_broker_while_clients_go_on() {
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
    for trouble in ["nacked", "lost_confirms", "reconnects", "errors"] {
        assert_eq!(meanwhile[trouble], 0, "{trouble}");
    }
    let pause = meanwhile["longest_pause_ms"].as_f64().expect("pauses were measured");
    let meanwhile = p99(&meanwhile);
    world.condition::<MessageQueue>("orders", "ScaleComplete", ("True", "AllRunning"), READY).await;
    world.healthy().await;
    println!(
        "measured: one of four brokers with 1 GB emptied and gone in {:.1} s; confirms meanwhile p99 {meanwhile:.1} ms, before \
         {before:.1} ms; longest pause {pause:.0} ms",
        took.as_secs_f64()
    );
    assert!(pause < LONGEST_PAUSE_MS, "{pause} ms");
}

/// Of the time from publish to confirm, in milliseconds.
fn p99(report: &Value) -> f64 {
    report["confirm_ms"]["p99"].as_f64().expect("confirms were measured")
}
