//! All brokers are lost at once.

use std::time::Instant;

use kube::ResourceExt as _;

use crate::faults;
use crate::traffic::Traffic;
use crate::world::{PODS, READY, TOPIC, World};

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn all_brokers_killed_at_once_lose_no_confirmed_message() {
    let world = World::with_cluster("power-loss").await;
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    let mut traffic = Traffic::new(&world).await;
    traffic.publish("one", "jobs", "orders-0");
    traffic.publish("two", "jobs", "orders-1");
    // Nobody consumes yet: what was confirmed has to lie on disks.
    traffic.flowing(500, READY).await;

    traffic.disturb(&PODS);
    if faults::possible() {
        let since = Instant::now();
        faults::kill_processes(&world.pods().await);
        traffic.flowing(200, READY).await;
        println!(
            "measured: processes of all brokers killed: confirms again after {:.1} s",
            since.elapsed().as_secs_f64()
        );
    }

    let before = world.pods().await;
    let names: Vec<_> = before.iter().map(|pod| pod.name_any()).collect();
    let since = Instant::now();
    faults::force_delete(&world.namespace, &names.iter().map(String::as_str).collect::<Vec<_>>());
    for pod in &before {
        world.replaced(&pod.name_any(), &pod.uid().expect("a pod has a uid"), READY).await;
    }
    traffic.find_brokers(&world).await;
    traffic.flowing(200, READY).await;
    println!(
        "measured: pods of all brokers deleted by force: confirms again after {:.1} s",
        since.elapsed().as_secs_f64()
    );

    world.healthy().await;
    traffic.whole();

    traffic.consume("work", "orders-2");
    let report = traffic.settle().await;
    println!("measured: loss of all brokers: {report}");
    world.wait_ready("messagequeue/orders", READY);
}
