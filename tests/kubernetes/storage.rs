//! Volumes grow, or cannot.

use ferrymq_api::MessageQueue;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt as _;

use crate::traffic::Traffic;
use crate::world::{PODS, READY, TOPIC, World, claim};

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
    // Smaller they never get.
    let complaint = crate::command::try_kubectl(&[
        "-n",
        &world.namespace,
        "patch",
        "mq/orders",
        "--type=merge",
        "-p",
        &patch("1Gi"),
    ]);
    assert!(complaint.is_err_and(|complaint| complaint.contains("storage.size cannot be lowered")));
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

fn resize(world: &World, size: &str) {
    world.kubectl(&["patch", "mq/orders", "--type=merge", "-p", &patch(size)]);
}

fn patch(size: &str) -> String {
    format!(r#"{{"spec":{{"storage":{{"size":"{size}"}}}}}}"#)
}

async fn uids(world: &World) -> Vec<Option<String>> {
    world.pods().await.iter().map(|pod| pod.uid()).collect()
}
