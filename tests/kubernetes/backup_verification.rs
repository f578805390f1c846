//! A backup is restored beside its cluster to see whether it can be, while clients are at work: it can; it cannot where one
//! bit is another; and it can again.

use std::time::Duration;

use ferrymq_api::{Backup, MessageQueue};

use crate::archives::{archived, back_up, begin, state_of};
use crate::backups::flip_a_bit;
use crate::store::Store;
use crate::traffic::Traffic;
use crate::world::{READY, World, until};

/// How long it may take to restore a small backup, on a busy machine.
const VERIFIED: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_backup_is_restored_to_see_whether_it_can_be() {
    let world = World::new("backup-verification").await;
    let store = Store::start(&world);
    // No day has such a date while this runs.
    begin(&world, &archived(3, &store.destination(), ", verify: '0 0 1 1 *'")).await;
    let none = ("Unknown", "NotVerified");
    world.condition::<MessageQueue>("orders", "RestoreVerified", none, READY).await;
    let mut traffic = Traffic::of(&world, &["work", "later"], &[]).await;
    traffic.publish("one", "jobs", "orders-0");
    traffic.publish("two", "jobs", "orders-1");
    traffic.consume("work", "orders-2");
    traffic.flowing(500, READY).await;
    let took = back_up(&world, "first");
    println!("measured: a backup under load: {:.1} s", took.as_secs_f64());

    let message = verify(&world, "once", ("True", "Verified")).await;
    println!("said: {message}");
    let verified = world.condition::<MessageQueue>("orders", "RestoreVerified", ("True", "Verified"), READY).await;
    assert!(verified.contains("backup first was restored at "), "{verified}");
    let summary = world.cluster().await.status.and_then(|status| status.backup).expect("there is a backup");
    assert!(summary.verified_time.is_some());
    until("the pod to be gone", READY, async || {
        world.kubectl(&["get", "pods", "-o", "name"]).lines().all(|pod| !pod.ends_with("-verify")).then_some(())
    })
    .await;

    // What the backup begins with, and nothing that is written meanwhile.
    let bases = store.objects_of(&world.namespace).into_iter().filter(|(name, _)| name.contains("/base/"));
    let largest = bases.max_by_key(|(_, file)| file.metadata().map_or(0, |about| about.len()));
    let (name, file) = largest.expect("a backup has bases");
    flip_a_bit(&file);
    let message = verify(&world, "twice", ("False", "NotRestorable")).await;
    println!("said: {message}");
    assert!(message.contains(&name) && message.contains("damaged"), "{message}");
    let refused = ("False", "NotRestorable");
    let told = world.condition::<MessageQueue>("orders", "RestoreVerified", refused, READY).await;
    assert!(told.contains(&name), "{told}");
    flip_a_bit(&file);
    verify(&world, "thrice", ("True", "Verified")).await;
    world.condition::<MessageQueue>("orders", "RestoreVerified", ("True", "Verified"), READY).await;

    traffic.stop_publishing().await;
    traffic.consume("later", "orders-1");
    let report = traffic.settle().await;
    println!("measured: a backup restored beside its cluster: {report}");
}

/// Asks for it, and waits until it ended so; gives what is said of it.
async fn verify(world: &World, request: &str, ended: (&str, &str)) -> String {
    world.kubectl(&["annotate", "backup/first", "--overwrite", &format!("ferrymq.io/verify={request}")]);
    let began = std::time::Instant::now();
    until("it to be restored, or refused", VERIFIED, async || {
        let verification = state_of(world, "first").await?.verification?;
        (verification.request == request && verification.time.is_some()).then_some(())
    })
    .await;
    println!("measured: a backup restored to see whether it can be: {:.1} s", began.elapsed().as_secs_f64());
    world.condition::<Backup>("first", "RestoreVerified", ended, READY).await
}
