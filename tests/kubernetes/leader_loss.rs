//! The broker that leads a queue is lost, while clients are at work.

use std::time::{Duration, Instant};

use kube::ResourceExt as _;

use crate::faults;
use crate::traffic::Traffic;
use crate::world::{READY, TOPIC, World};

/// How long a link stays cut.
const CUT: Duration = Duration::from_secs(30);

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_lost_leader_loses_no_confirmed_message() {
    if faults::left_out("loss of a leader") {
        return;
    }
    let world = World::with_cluster("leader-loss").await;
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    let leader = world.leader("jobs", "work").await;
    let other = world.brokers().await.into_iter().find(|broker| broker.pod != leader).expect("three brokers").pod;

    let mut traffic = Traffic::new(&world).await;
    traffic.publish("at-the-leader", "jobs", &leader);
    traffic.publish("elsewhere", "jobs", &other);
    traffic.consume("work", &other);
    traffic.flowing(100, READY).await;

    let pod = world.pod(&leader).await;
    let kill = async || faults::kill_processes(&[pod]);
    faulted(&world, &traffic, "process of the leader killed", &leader, kill).await;

    let leader = world.leader("jobs", "work").await;
    let uid = world.pod(&leader).await.uid().expect("a pod has a uid");
    let delete = async || faults::force_delete(&world.namespace, &[&leader]);
    faulted(&world, &traffic, "pod of the leader deleted by force", &leader, delete).await;
    world.replaced(&leader, &uid, READY).await;
    traffic.find_brokers(&world).await;
    world.healthy().await;

    let leader = world.leader("jobs", "work").await;
    let node = world.pod(&leader).await.spec.and_then(|spec| spec.node_name).expect("the pod has a node");
    let cut_for = async || {
        let cut = faults::cut(&node);
        let until = Instant::now() + CUT;
        traffic.flowing(200, CUT).await;
        // The rest of the fault's time: what is cut off must do no harm meanwhile, nor when it comes back.
        tokio::time::sleep_until(until.into()).await;
        drop(cut);
    };
    faulted(&world, &traffic, "link of the leader's node cut for 30 s", &leader, cut_for).await;

    let report = traffic.settle().await;
    println!("measured: loss of a leader, three times: {report}");
}

/// Breaks something of a broker, waits until all goes on, and notes how long that took. Waits until all is whole again.
async fn faulted(world: &World, traffic: &Traffic, what: &str, pod: &str, fault: impl AsyncFnOnce()) {
    traffic.disturb(&[pod]);
    let since = Instant::now();
    fault().await;
    traffic.flowing(200, READY).await;
    for (publisher, pause) in traffic.pauses(since) {
        println!("measured: {what}: longest pause of the publisher {publisher}: {} ms", pause.as_millis());
    }
    world.healthy().await;
    traffic.whole();
}
