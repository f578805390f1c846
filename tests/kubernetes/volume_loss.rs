//! A broker loses its volume.

use std::time::Instant;

use kube::ResourceExt as _;

use crate::traffic::Traffic;
use crate::world::{PODS, READY, TOPIC, World, until};

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_broker_without_its_volume_is_refilled_and_then_carries_the_rest() {
    let world = World::with_cluster("volume-loss").await;
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    let lost = world.leader("jobs", "work").await;
    let others: Vec<_> =
        world.brokers().await.into_iter().map(|broker| broker.pod).filter(|pod| *pod != lost).collect();
    let mut traffic = Traffic::new(&world).await;
    for pod in &others {
        traffic.publish(pod, "jobs", pod);
    }
    // Nobody consumes: what is to be refilled is there.
    traffic.flowing(500, READY).await;
    traffic.disturb(&PODS);

    let number = number_of(&world, &lost).await.expect("a broker has a number");
    let since = Instant::now();
    world.lose_volume(&lost).await;
    // Without its data it is somebody else.
    until("the broker to be taken in anew", READY, async || {
        number_of(&world, &lost).await.filter(|now| *now != number)
    })
    .await;
    world.healthy().await;
    println!("measured: volume deleted to all mirrors in sync again: {:.1} s", since.elapsed().as_secs_f64());
    traffic.find_brokers(&world).await;

    // Now the data is where it was lost, or these would take the last of it away.
    for pod in &others {
        let uid = world.pod(pod).await.uid().expect("a pod has a uid");
        let since = Instant::now();
        world.kubectl(&["delete", "pod", pod, "--wait=false"]);
        world.replaced(pod, &uid, READY).await;
        traffic.find_brokers(&world).await;
        world.healthy().await;
        traffic.flowing(100, READY).await;
        for (publisher, pause) in traffic.pauses(since) {
            println!("measured: orderly restart of {pod}: longest pause of {publisher}: {} ms", pause.as_millis());
        }
    }

    traffic.whole();
    traffic.consume("work", &lost);
    let report = traffic.settle().await;
    println!("measured: loss of a volume, restart of the others: {report}");
}

async fn number_of(world: &World, pod: &str) -> Option<i64> {
    world.cluster().await.status?.nodes.into_iter().find(|node| node.name == pod)?.id
}
