//! From nothing to a cluster that serves: helm, kubectl, and what kubectl shows.

use std::time::Instant;

use ferrymq_api::MessageQueue;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::ListParams;

use crate::faults::{memory_of, possible};
use crate::traffic::Traffic;
use crate::world::{READY, THREE_BROKERS, TOPIC, World, until};
use crate::{command, install};

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn an_applied_cluster_and_topic_become_ready_and_read_well() {
    let took = install::installed();
    println!("measured: helm install to operator running: {:.1} s", took.as_secs_f64());
    let world = World::new("installation").await;
    let started = Instant::now();
    // In one file, as people do: the Topic is there before its cluster serves.
    world.apply(&format!("{THREE_BROKERS}---{TOPIC}"));
    world.wait_ready("messagequeue/orders", READY);
    println!("measured: apply to Ready of three brokers: {:.1} s", started.elapsed().as_secs_f64());
    world.wait_ready("topic/jobs", READY);
    println!("measured: apply to Ready of its Topic: {:.1} s", started.elapsed().as_secs_f64());

    let shown = world.kubectl(&["get", "mq,mqt"]);
    for line in shown.lines() {
        println!("measured: kubectl get mq,mqt: {line}");
    }
    let cluster = row(&shown, "messagequeue.ferrymq.io/orders");
    assert_eq!(cluster[1..4], ["True", "3", "3"], "ready, brokers, brokers that serve: {cluster:?}");
    assert_eq!(cluster[4], env!("CARGO_PKG_VERSION"), "the version that runs");
    let topic = row(&shown, "topic.ferrymq.io/jobs");
    assert_eq!(topic[1..4], ["orders", "0", "3"], "cluster, partitions, mirrors: {topic:?}");
    assert_eq!(topic[5], "True", "ready: {topic:?}");

    let mut traffic = Traffic::new(&world).await;
    traffic.publish("anybody", "jobs", "orders-0");
    traffic.consume("work", "orders-2");
    traffic.flowing(100, READY).await;
    let report = traffic.settle().await;
    assert_eq!(report.repeated, 0, "nothing was broken, so each came once");

    if possible() {
        memory(&world).await;
    }
}

/// The words of the line that begins with this name.
fn row<'a>(shown: &'a str, name: &str) -> Vec<&'a str> {
    let line = shown.lines().find(|line| line.split_whitespace().next() == Some(name));
    line.unwrap_or_else(|| panic!("no {name} in:\n{shown}")).split_whitespace().collect()
}

async fn memory(world: &World) {
    let brokers = world.pods().await;
    let most = brokers.iter().map(memory_of).max().expect("there are brokers");
    println!("measured: memory of an idle broker: {:.1} MB", most as f64 / 1e6);
    for operator in install::operator(world).await {
        println!("measured: memory of the operator: {:.1} MB", memory_of(&operator) as f64 / 1e6);
    }
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_cluster_can_be_scaled_up_by_kubectl_scale() {
    let world = World::new("scaling").await;
    world.apply(
        "
apiVersion: ferrymq.io/v1alpha1
kind: MessageQueue
metadata: {name: orders}
spec: {replicas: 1, storage: {size: 1Gi, reclaimPolicy: Delete}}
",
    );
    world.wait_ready("messagequeue/orders", READY);
    let one = world.cluster().await.status.map(|status| status.ready_replicas);
    assert_eq!(one, Some(1));
    world.kubectl(&["scale", "mq/orders", "--replicas=2"]);
    world.condition::<MessageQueue>("orders", "ScaleComplete", ("True", "AllRunning"), READY).await;
    world.wait_ready("messagequeue/orders", READY);
    // The explanation of every field comes with the definition.
    assert!(command::kubectl(&["explain", "mq.spec.mirrors"]).contains("confirmed"));

    // The volumes go with it, as it says.
    world.kubectl(&["delete", "mq/orders", "--timeout=60s"]);
    let gone = async || {
        let claims = world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await;
        claims.expect("claims can be listed").items.is_empty().then_some(())
    };
    until("the volumes to be gone", READY, gone).await;
}
