//! Users delete what belongs to a cluster, and machines fall silent: all of it is put back or said, and nothing that was
//! confirmed is lost.

use std::time::{Duration, Instant};

use ferrymq_api::MessageQueue;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use crate::command::try_kubectl;
use crate::faults;
use crate::install;
use crate::traffic::Traffic;
use crate::world::{PODS, READY, TOPIC, World, until};

/// A watch tells of what was deleted at once.
const PUT_BACK: Duration = Duration::from_secs(15);

/// Pods that go with their StatefulSet have a minute to stop. Kubernetes tries to make the new ones meanwhile, in vain, and
/// each time later: the next attempt may be as far away as all of those took.
const MADE_AGAIN: Duration = Duration::from_secs(240);

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn whatever_a_user_deletes_is_put_back_under_load() {
    let world = World::with_cluster("healing").await;
    let traffic = loaded(&world).await;
    let before = [secret(&world, "orders-default-user").await, secret(&world, "orders-token").await];
    for object in [
        "service/orders",
        "service/orders-nodes",
        "configmap/orders-config",
        "poddisruptionbudget/orders",
        "networkpolicy/orders",
        "serviceaccount/orders",
        "secret/orders-default-user",
        "secret/orders-token",
    ] {
        let since = Instant::now();
        deleted(&world, object).await;
        println!("measured: {object} deleted to put back: {} ms", since.elapsed().as_millis());
        traffic.flowing(50, READY).await;
    }
    // As they were: clients and brokers go on with what they know.
    let after = [secret(&world, "orders-default-user").await, secret(&world, "orders-token").await];
    assert_eq!(before, after);
    world.condition::<MessageQueue>("orders", "Ready", ("True", "AllServing"), READY).await;
    let events = world.kubectl(&["get", "events.events.k8s.io", "-o=jsonpath={.items[*].reason}"]);
    assert!(events.contains("ObjectMade"), "{events}");

    // The pods of a StatefulSet go with it: all brokers stop, in order, and come again with what they have.
    traffic.disturb(&PODS);
    let uids = uids(&world).await;
    let since = Instant::now();
    deleted(&world, "statefulset/orders").await;
    for (pod, uid) in PODS.iter().zip(&uids) {
        world.replaced(pod, uid, MADE_AGAIN).await;
    }
    println!("measured: StatefulSet deleted to all brokers ready: {:.1} s", since.elapsed().as_secs_f64());
    whole(&world, &traffic).await;
    for (publisher, pause) in traffic.pauses(since) {
        println!("measured: StatefulSet deleted: longest pause of {publisher}: {} ms", pause.as_millis());
    }
    let report = traffic.settle().await;
    println!("measured: what belongs to a cluster was deleted piece by piece: {report}");
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_volume_claim_that_a_user_deletes_is_said_and_the_command_that_is_told_ends_it() {
    let world = World::with_cluster("going-claim").await;
    let traffic = loaded(&world).await;
    let uid = world.pod("orders-1").await.uid().expect("a pod has a uid");
    world.kubectl(&["delete", "pvc/data-orders-1", "--wait=false"]);
    let said = world.condition::<MessageQueue>("orders", "StorageReady", ("False", "VolumeGoing"), READY).await;
    println!("said: {said}");
    // Its broker runs on, and nobody is kept waiting.
    world.condition::<MessageQueue>("orders", "Ready", ("True", "AllServing"), READY).await;
    world.condition::<MessageQueue>("orders", "Reconciling", ("False", "Settled"), READY).await;
    traffic.flowing(100, READY).await;
    assert_eq!(world.pod("orders-1").await.uid().as_ref(), Some(&uid));

    traffic.disturb(&PODS);
    let (_, command) = said.split_once("kubectl ").expect("the sentence ends with a command");
    let mut arguments: Vec<&str> = command.split_whitespace().collect();
    arguments.push("--wait=false");
    try_kubectl(&arguments).expect("the command that is told can be typed");
    world.replaced("orders-1", &uid, READY).await;
    world.condition::<MessageQueue>("orders", "StorageReady", ("True", "VolumesBound"), READY).await;
    whole(&world, &traffic).await;
    let report = traffic.settle().await;
    println!("measured: a claim deleted, and its broker filled anew: {report}");
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_machine_that_falls_silent_is_said_and_its_broker_is_given_to_no_other() {
    if faults::left_out("a machine falls silent") {
        return;
    }
    let world = World::with_cluster("silent-machine").await;
    let traffic = loaded(&world).await;
    let operator = install::operator(&world).await.into_iter().find_map(|pod| pod.spec?.node_name);
    let mut lost = None;
    for pod in world.pods().await {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).expect("a pod has a node");
        if Some(&node) != operator.as_ref() {
            lost = Some((pod.name_any(), pod.uid(), node));
        }
    }
    let (pod, uid, node) = lost.expect("brokers are on several nodes");
    traffic.disturb(&PODS);
    let cut = faults::cut(&node);
    let said = world.condition::<MessageQueue>("orders", "Ready", ("False", "MachineUnreachable"), READY).await;
    println!("said: {said}");
    assert!(said.contains(&format!("kubectl taint nodes {node} node.kubernetes.io/out-of-service")), "{said}");
    assert_eq!(world.pod(&pod).await.uid(), uid);
    drop(cut);
    world.condition::<MessageQueue>("orders", "Ready", ("True", "AllServing"), READY).await;
    assert_eq!(world.pod(&pod).await.uid(), uid, "it is the one that it was");
    world.healthy().await;
    traffic.find_brokers(&world).await;
    traffic.whole();
    traffic.flowing(100, READY).await;
    let report = traffic.settle().await;
    println!("measured: a machine that fell silent: {report}");
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_broker_that_does_not_stop_is_said_and_bounded() {
    if faults::left_out("a broker that does not stop") {
        return;
    }
    let world = World::with_cluster("stuck").await;
    let traffic = loaded(&world).await;
    traffic.disturb(&PODS);
    let pod = world.pod("orders-1").await;
    let uid = pod.uid().expect("a pod has a uid");
    // It hears nothing, not even that it is to stop.
    std::mem::forget(faults::pause(&pod));
    let since = Instant::now();
    world.kubectl(&["delete", "pod", "orders-1", "--wait=false"]);
    let said = world.condition::<MessageQueue>("orders", "Ready", ("False", "ReplicasBehind"), READY).await;
    println!("said: {said}");
    assert!(said.contains("orders-1"), "{said}");
    traffic.flowing(100, READY).await;
    world.replaced("orders-1", &uid, MADE_AGAIN).await;
    println!("measured: a broker that does not stop is replaced after {:.1} s", since.elapsed().as_secs_f64());
    world.condition::<MessageQueue>("orders", "Ready", ("True", "AllServing"), READY).await;
    whole(&world, &traffic).await;
    let report = traffic.settle().await;
    println!("measured: a broker that did not stop: {report}");
}

async fn loaded(world: &World) -> Traffic {
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    let mut traffic = Traffic::new(world).await;
    for broker in ["orders-0", "orders-2"] {
        traffic.publish(broker, "jobs", broker);
    }
    traffic.consume("work", "orders-1");
    traffic.flowing(100, READY).await;
    traffic
}

async fn whole(world: &World, traffic: &Traffic) {
    world.condition::<MessageQueue>("orders", "Ready", ("True", "AllServing"), READY).await;
    world.healthy().await;
    traffic.find_brokers(world).await;
    traffic.whole();
    traffic.flowing(200, READY).await;
}

/// Deletes an object, and waits until there is another one of its name.
async fn deleted(world: &World, object: &str) {
    let arguments = ["--namespace", &world.namespace, "get", object, "-o=jsonpath={.metadata.uid}"];
    let before = try_kubectl(&arguments).expect("it is there");
    world.kubectl(&["delete", object, "--wait=false"]);
    until(&format!("another {object}"), PUT_BACK, async || {
        try_kubectl(&arguments).ok().filter(|uid| *uid != before).map(|_| ())
    })
    .await;
}

async fn secret(world: &World, name: &str) -> Vec<(String, Vec<u8>)> {
    let secret = world.api::<Secret>().get(name).await.expect("the Secret is there");
    secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect()
}

async fn uids(world: &World) -> Vec<String> {
    world.pods().await.iter().map(|pod| pod.uid().expect("a pod has a uid")).collect()
}
