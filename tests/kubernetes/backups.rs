//! A cluster is archived and backed up, lost with its namespace and all of its volumes, and made again of the archive.

use std::path::Path;
use std::time::Duration;

use ferrymq_api::{Backup, MessageQueue};

use crate::archives::{self, JOBS, all_archived, archived, backup, begin, counts, time_text};
use crate::faults;
use crate::store::{SECRET, Store};
use crate::traffic::Traffic;
use crate::world::{PODS, READY, World};

fn restored(store: &Store, replicas: u32, from: &str, what: &str) -> String {
    let from = format!("encryptionSecret: archive, cluster: {from}/orders{what}");
    archives::restored("orders", replicas, &store.destination(), &from)
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_cluster_that_is_lost_with_its_namespace_is_made_again_of_its_archive() {
    let world = World::new("backups").await;
    let store = Store::start(&world);
    begin(&world, &archived(3, &store.destination(), "")).await;

    let mut traffic = Traffic::of(&world, &["work", "later"], &[]).await;
    traffic.publish("one", "jobs", "orders-0");
    traffic.publish("two", "jobs", "orders-1");
    traffic.consume("work", "orders-2");
    traffic.flowing(500, READY).await;
    for name in ["first", "second", "third"] {
        world.apply(&backup(name));
        if name == "second" && faults::possible() {
            // Its leaders are gone in the middle of it.
            traffic.disturb(&PODS);
            let pod = world.pod("orders-1").await;
            faults::kill_processes(std::slice::from_ref(&pod));
            world.restarted(&[pod]).await;
            world.healthy().await;
            traffic.whole();
        }
        traffic.flowing(300, READY).await;
        let took = world.wait_condition(&format!("backup/{name}"), "Complete", Duration::from_secs(180));
        println!("measured: backup {name} under load: {:.1} s", took.as_secs_f64());
    }
    let status = world.api::<Backup>().get("third").await.expect("it is there").status.expect("it has a status");
    assert!(status.bytes.is_some_and(|bytes| bytes > 0) && status.completion_time.is_some());
    world.condition::<MessageQueue>("orders", "BackupHealthy", ("True", "BackupCompleted"), READY).await;
    traffic.stop_publishing().await;
    traffic.drained_from("work", READY).await;
    traffic.stop_consuming().await;
    let middle = all_archived(&world).await;
    let in_the_middle = counts(&world).await;

    let mut after = Traffic::of(&world, &["later"], &[]).await;
    after.publish("three", "jobs", "orders-0");
    after.flowing(500, READY).await;
    after.stop_publishing().await;
    let at_the_end = counts(&world).await;
    all_archived(&world).await;
    traffic.disturb(&PODS);
    let from = world.namespace.clone();
    world.delete().await;

    let again = World::new("restored").await;
    again.apply(SECRET);
    again.apply(&restored(&store, 1, &from, ""));
    let took = again.wait_ready("messagequeue/orders", READY);
    println!("measured: restored on one broker, ready after {:.1} s", took.as_secs_f64());
    again.apply(JOBS);
    again.wait_ready("topic/jobs", READY);
    let restored_from = again.cluster().await.status.and_then(|status| status.restored).expect("it says so");
    assert!(restored_from.folder.starts_with(&format!("{from}/orders/")) && restored_from.missing.is_empty());
    let there = counts(&again).await;
    assert_eq!(there, at_the_end, "all that was confirmed is there, and what was settled is gone");
    drop(again);

    let at_time = World::new("restored-to-a-time").await;
    at_time.apply(SECRET);
    let time = format!(", time: '{}'", time_text(middle));
    at_time.apply(&restored(&store, 3, &from, &time));
    at_time.wait_ready("messagequeue/orders", READY);
    at_time.apply(JOBS);
    at_time.wait_ready("topic/jobs", READY);
    let there = counts(&at_time).await;
    assert_eq!(there, in_the_middle, "exactly what there was before then");
    traffic.find_brokers(&at_time).await;
    traffic.whole();
    traffic.consume("later", "orders-0");
    let report = traffic.settle().await;
    println!("measured: restored to a time: {report}");
    assert_eq!(report.repeated, 0, "each came once");
    drop(at_time);

    let (name, file) = store.object_of(&from);
    flip_a_bit(&file);
    let damaged = World::new("restored-damaged").await;
    damaged.apply(SECRET);
    damaged.apply(&restored(&store, 1, &from, ""));
    let refused = ("False", "RestoreRefused");
    let why = damaged.condition::<MessageQueue>("orders", "Ready", refused, READY).await;
    assert!(why.contains(&name) && why.contains("damaged"), "{why}");
    flip_a_bit(&file);
    damaged.wait_ready("messagequeue/orders", READY);
}

pub(crate) fn flip_a_bit(file: &Path) {
    let mut bytes = std::fs::read(file).expect("the object is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).expect("it can be changed");
}
