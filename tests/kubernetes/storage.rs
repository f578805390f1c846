//! Volumes grow, or cannot; they are replaced by smaller ones.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ferrymq_api::MessageQueue;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt as _;
use kube::api::ListParams;

use crate::bench::bench;
use crate::faults;
use crate::traffic::Traffic;
use crate::world::{PODS, READY, THREE_BROKERS, TOPIC, World, claim, until};

/// What fills a volume of 512 MiB, at a pace that leaves the operator two looks from nearly full to full.
const FILLING: [&str; 7] =
    ["--consumers=0", "--size=65536", "--rate=120", "--messages=6500", "--quiet", "--json=-", "--queue-prefix=held-"];

/// What takes it away again.
const EMPTYING: [&str; 5] = ["--publishers=0", "--seconds=15", "--quiet", "--json=-", "--queue-prefix=held-"];

/// How long it may take to replace three volumes.
const SHRUNK: Duration = Duration::from_secs(240);

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn volumes_grow_while_brokers_run_on() {
    let world = World::with_cluster("growth").await;
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    let uids = uids(&world).await;
    let mut traffic = Traffic::new(&world).await;
    traffic.publish("meanwhile", "jobs", "orders-0");
    traffic.consume("work", "orders-1");
    traffic.flowing(100, READY).await;

    resize(&world, "2Gi");
    world.condition::<MessageQueue>("orders", "StorageReady", ("False", "VolumesGrowing"), READY).await;
    world.condition::<MessageQueue>("orders", "StorageReady", ("True", "VolumesBound"), READY).await;
    for pod in PODS {
        let claim = world.api::<PersistentVolumeClaim>().get(&claim(pod)).await.expect("a broker has a volume");
        let capacity = claim.status.and_then(|status| status.capacity).unwrap_or_default();
        assert_eq!(capacity.get("storage").map(|size| size.0.as_str()), Some("2Gi"), "{pod}");
    }
    // One that is made later is as big.
    world.kubectl(&["scale", "mq/orders", "--replicas=4"]);
    world.condition::<MessageQueue>("orders", "ScaleComplete", ("True", "AllRunning"), READY).await;
    world.kubectl(&["wait", "pvc/data-orders-3", "--for=jsonpath={.status.capacity.storage}=2Gi", "--timeout=60s"]);

    traffic.flowing(100, READY).await;
    let report = traffic.settle().await;
    println!("measured: volumes grown under load: {report}");
    assert_eq!(uids, self::uids(&world).await[..3], "no broker was restarted");
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn volumes_are_replaced_by_smaller_ones_under_load() {
    let world = World::with_sized_volumes("shrink").await;
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    let mut traffic = Traffic::new(&world).await;
    traffic.publish("meanwhile", "jobs", "orders-0");
    traffic.consume("work", "orders-1");
    traffic.flowing(300, READY).await;
    let before = claims(&world).await;

    // What is there would not fit.
    resize(&world, "64Mi");
    let refused = world.condition::<MessageQueue>("orders", "Stalled", ("True", "VolumeShrinkRefused"), READY).await;
    println!("said: {refused}");

    let since = Instant::now();
    traffic.disturb(&PODS);
    resize(&world, "768Mi");
    let said = world.condition::<MessageQueue>("orders", "StorageReady", ("False", "VolumesShrinking"), READY).await;
    println!("said: {said}");
    world.condition::<MessageQueue>("orders", "StorageReady", ("True", "VolumesBound"), SHRUNK).await;
    world.condition::<MessageQueue>("orders", "ScaleComplete", ("True", "AllRunning"), READY).await;
    world.condition::<MessageQueue>("orders", "Ready", ("True", "AllServing"), READY).await;
    println!("measured: volumes of three brokers replaced by smaller ones: {:.1} s", since.elapsed().as_secs_f64());
    for (publisher, pause) in traffic.pauses(since) {
        println!("measured: volumes replaced: longest pause of the publisher {publisher}: {} ms", pause.as_millis());
    }
    until("the broker that helped out to be gone", READY, async || (world.pods().await.len() == 3).then_some(())).await;
    let after = claims(&world).await;
    for pod in PODS {
        let (uid, size) = after.get(&claim(pod)).expect("a broker has a volume");
        assert_eq!(size, "768Mi", "{pod}");
        assert!(before.get(&claim(pod)).is_some_and(|(before, _)| before != uid), "{pod} has another volume");
    }
    world.healthy().await;
    traffic.find_brokers(&world).await;
    traffic.whole();
    traffic.flowing(200, READY).await;
    let report = traffic.settle().await;
    println!("measured: volumes replaced by smaller ones: {report}");
}

/// The brokers' claims: uid, and the size that is asked for.
async fn claims(world: &World) -> BTreeMap<String, (Option<String>, String)> {
    let selected = ListParams::default().labels("ferrymq.io/cluster=orders");
    let claims = world.api::<PersistentVolumeClaim>().list(&selected).await.expect("claims can be listed").items;
    let size = |claim: &PersistentVolumeClaim| {
        Some(claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage")?.0.clone())
    };
    claims.iter().map(|claim| (claim.name_any(), (claim.uid(), size(claim).unwrap_or_default()))).collect()
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn volumes_that_cannot_grow_are_said_and_the_cluster_goes_on() {
    let world = World::with_sized_volumes("no-growth").await;
    resize(&world, "2Gi");
    let refused = world.condition::<MessageQueue>("orders", "Stalled", ("True", "VolumeGrowthRefused"), READY).await;
    println!("said: {refused}");
    assert!(refused.contains("data-orders-0 cannot grow to 2Gi"), "{refused}");
    world.condition::<MessageQueue>("orders", "Ready", ("True", "AllServing"), READY).await;
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn volumes_that_fill_grow_by_themselves_before_it_hurts() {
    if faults::left_out("volumes that have a size and can grow") {
        return;
    }
    let world = World::new("auto-grow").await;
    let storage = "size: 512Mi, storageClassName: growing, autoGrow: {limit: 1Gi}";
    world.apply(&THREE_BROKERS.replace("size: 1Gi", storage));
    world.wait_ready("messagequeue/orders", READY);
    let before = uids(&world).await;
    // Nobody consumes, and nobody is held back.
    let filled = bench(&world.brokers().await, &FILLING).await;
    assert_eq!(filled["confirmed"], 6500);
    assert_eq!(filled["blocked_seconds"], 0.0, "volumes grow before publishers are held back");
    println!(
        "measured: volumes filled and grew by themselves: longest pause of a publisher {} ms",
        filled["longest_pause_ms"]
    );
    let sizes: Vec<_> = claims(&world).await.into_values().map(|(_, size)| size).collect();
    assert!(sizes.iter().all(|size| ["768Mi", "1Gi"].contains(&size.as_str())), "{sizes:?}");
    world.condition::<MessageQueue>("orders", "StorageReady", ("True", "VolumesBound"), READY).await;
    assert_eq!(uids(&world).await, before, "no broker was restarted");
    // All of it is there.
    let emptied = bench(&world.brokers().await, &EMPTYING).await;
    assert_eq!(emptied["received"], 6500);
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn volumes_outlive_their_cluster_and_one_of_the_same_name_finds_them() {
    let world = World::new("found-again").await;
    let cluster = THREE_BROKERS.replace(", reclaimPolicy: Delete", "");
    world.apply(&format!("{cluster}---{TOPIC}"));
    world.wait_ready("messagequeue/orders", READY);
    world.wait_ready("topic/jobs", READY);
    let mut traffic = Traffic::new(&world).await;
    for broker in ["orders-0", "orders-1"] {
        traffic.publish(broker, "jobs", broker);
    }
    traffic.flowing(300, READY).await;

    traffic.disturb(&PODS);
    world.kubectl(&["delete", "mq/orders", "--timeout=60s"]);
    until("the brokers to be gone", READY, async || world.pods().await.is_empty().then_some(())).await;
    let before = claims(&world).await;
    assert_eq!(before.keys().collect::<Vec<_>>(), ["data-orders-0", "data-orders-1", "data-orders-2"]);
    // The first broker comes back with nothing, and is filled by the others.
    world.kubectl(&["delete", "pvc/data-orders-0", "--timeout=60s"]);

    let since = Instant::now();
    world.apply(&cluster);
    world.wait_ready("messagequeue/orders", READY);
    println!("measured: a cluster found again on two of three volumes: {:.1} s", since.elapsed().as_secs_f64());
    let events = world.kubectl(&["get", "events.events.k8s.io", "-o=jsonpath={.items[*].reason}"]);
    assert!(events.contains("ClusterFound"), "{events}");
    let after = claims(&world).await;
    for kept in ["data-orders-1", "data-orders-2"] {
        assert_eq!(before[kept], after[kept], "{kept} is the same");
    }
    world.healthy().await;
    traffic.find_brokers(&world).await;
    traffic.whole();
    traffic.flowing(200, READY).await;
    traffic.consume("work", "orders-0");
    let report = traffic.settle().await;
    println!("measured: a cluster deleted and found again: {report}");
}

fn resize(world: &World, size: &str) {
    world.kubectl(&["patch", "mq/orders", "--type=merge", "-p", &patch(size)]);
}

fn patch(size: &str) -> String {
    format!(r#"{{"spec":{{"storage":{{"size":"{size}"}}}}}}"#)
}

async fn uids(world: &World) -> Vec<Option<String>> {
    world.pods().await.iter().map(|pod| pod.uid()).collect()
}
