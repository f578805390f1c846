//! The store is away for longer than what may wait for it on a broker's volume: the archive has a gap, which is said, and
//! which no restore leads into.

use std::time::Duration;

use ferrymq_api::MessageQueue;

use crate::archives::{
    all_archived, archived, back_up, begin, counts, made_again, now, published, restored, time_text,
};
use crate::faults;
use crate::store::{STORED, Store};
use crate::traffic::Traffic;
use crate::world::{READY, World, until};

/// Bytes of a message: many of them fill a quarter of a volume within seconds.
const BODY: usize = 96 << 10;

/// How long that may take, on a busy machine.
const FILLED: Duration = Duration::from_secs(120);

/// What is confirmed may wait for that long before a moment that is behind it.
const BEHIND: u64 = 3;

/// How soon it is told that the store is away, where there is nothing to archive.
const TOLD: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_gap_is_told_and_no_restore_leads_into_it() {
    if faults::left_out("a gap in the archive") {
        return;
    }
    let world = World::new("backup-gap").await;
    let mut store = Store::start(&world);
    let sized = archived(1, &store.destination(), "").replace("size: 1Gi", "size: 1Gi, storageClassName: sized");
    begin(&world, &sized).await;
    let mut traffic = Traffic::of(&world, &["work", "later"], &[]).await;
    published(&mut traffic, "before", "orders-0", 300).await;
    back_up(&world, "before");
    let before = all_archived(&world).await;
    let there = counts(&world).await;

    store.stop();
    let archiving = ("False", "ArchiveUnreachable");
    let why = world.condition::<MessageQueue>("orders", "ContinuousArchiving", archiving, TOLD).await;
    println!("said: {why}");
    for name in ["much", "more"] {
        traffic.publish_bodies(name, "jobs", "orders-0", BODY);
    }
    // What is consumed stays only because it is not archived.
    for queue in ["work", "later"] {
        traffic.consume(queue, "orders-0");
    }
    // Nothing goes on behind the log that is there but with a base.
    until("what waits to be let go of", FILLED, async || {
        let why = world.api::<MessageQueue>().get("orders").await.ok()?.status?.conditions;
        let why = why.into_iter().find(|condition| condition.type_ == "ContinuousArchiving")?.message;
        why.contains("/base/").then(|| println!("said: {why}"))
    })
    .await;
    traffic.stop_publishing().await;
    let within = now() + BEHIND;
    until("a moment in the gap", READY, async || (now() > within + BEHIND).then_some(())).await;
    traffic.drained(READY).await;
    traffic.stop_consuming().await;

    store.start_again();
    let why = world.condition::<MessageQueue>("orders", "ContinuousArchiving", ("False", "ArchiveGap"), READY).await;
    println!("said: {why}");
    back_up(&world, "after");
    world.condition::<MessageQueue>("orders", "ContinuousArchiving", ("True", "Archived"), READY).await;
    published(&mut traffic, "after", "orders-0", 300).await;
    all_archived(&world).await;
    let at_the_end = counts(&world).await;

    let of = format!("encryptionSecret: archive, cluster: {}/orders", world.namespace);
    let into = format!("{of}, time: '{}'", time_text(within));
    world.apply(&restored("into", 1, &store.destination(), &into));
    let why = world.condition::<MessageQueue>("into", "Ready", ("False", "RestoreRefused"), STORED).await;
    println!("said: {why}");
    let earlier = format!("{of}, time: '{}'", time_text(before));
    let earlier = made_again("backup-gap-before", 1, &store.destination(), &earlier).await;
    assert_eq!(counts(&earlier).await, there, "what was there before the gap");
    drop(earlier);
    let again = made_again("backup-gap-behind", 1, &store.destination(), &of).await;
    assert_eq!(counts(&again).await, at_the_end, "what is there behind the gap");
    traffic.disturb(&["orders-0"]);
    traffic.find_brokers(&again).await;
    traffic.whole();
    for queue in ["work", "later"] {
        traffic.consume(queue, "orders-0");
    }
    let report = traffic.settle().await;
    println!("measured: restored behind a gap: {report}");
}
