//! Volumes are full: publishers wait, consumers go on, and nothing is lost.

use std::time::Duration;

use crate::faults;
use crate::traffic::Traffic;
use crate::world::{PODS, READY, TOPIC, World};

/// Bytes of a message: large enough to fill within seconds the segments that were prepared before.
const BODY: usize = 32 << 10;

/// Without a confirm for so long, a publisher waits.
const QUIET: Duration = Duration::from_secs(3);

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_full_volume_makes_publishers_wait_and_consumers_go_on() {
    if faults::left_out("full volumes") {
        return;
    }
    let world = World::with_sized_volumes("disk-full").await;
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    let leader = world.leader("jobs", "work").await;
    let mut traffic = Traffic::new(&world).await;
    traffic.publish_bodies("one", "jobs", "orders-0", BODY);
    traffic.publish_bodies("two", "jobs", "orders-1", BODY);
    traffic.flowing(500, READY).await;

    let filled = faults::fill(&world, &[&leader]).await;
    traffic.halted(QUIET, READY).await;
    println!("measured: the leader's volume full: publishers wait, with {} messages to be consumed", traffic.missing());
    traffic.consume("work", "orders-2");
    traffic.drained(READY).await;
    drop(filled);
    traffic.flowing(200, READY).await;

    let filled = faults::fill(&world, &PODS).await;
    traffic.halted(QUIET, READY).await;
    traffic.drained(READY).await;
    println!("measured: all volumes full: publishers wait, and what was there is consumed");
    // One is killed while nothing can be written; there is room again when it comes back.
    traffic.disturb(&["orders-0"]);
    let killed = [world.pod("orders-0").await];
    faults::kill_processes(&killed);
    drop(filled);
    world.restarted(&killed).await;
    traffic.flowing(200, READY).await;
    world.healthy().await;
    traffic.whole();

    let report = traffic.settle().await;
    println!("measured: one volume full, then all of them: {report}");
}
