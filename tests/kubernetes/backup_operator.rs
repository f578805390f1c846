//! The operator is killed at each step of a backup, of its deletion, and of a restore: each ends as if nothing was.

use std::time::Duration;

use ferrymq_api::{Backup, MessageQueue};

use crate::archives::{
    BACKED_UP, JOBS, all_archived, archived, backup, backup_with, begin, counts, published, restored, state_of,
};
use crate::install::operators;
use crate::operators::Running;
use crate::store::{SECRET, STORED, Store};
use crate::store_faults::{Fault, FaultyStore};
use crate::traffic::Traffic;
use crate::world::{READY, World, until};

const REFUSES: Fault = Fault::Answers(403, "AccessDenied", "Access Denied");
/// So slow that each step can be seen.
const SLOW: Fault = Fault::Slow(Duration::from_millis(1500), 1 << 20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn an_operator_that_is_killed_at_any_step_of_a_backup_or_a_restore_is_not_missed() {
    let world = World::new("backup-operator").await;
    let again = World::new("backup-operator-restored").await;
    let store = FaultyStore::before(&world, Store::start(&world)).await;
    let _away = operators(&world, 0).await;
    let both = format!("{},{}", world.namespace, again.namespace);
    let operator = Running::start(&both);
    begin(&world, &archived(1, &store.destination(), "")).await;
    let mut traffic = Traffic::of(&world, &["later"], &[]).await;
    published(&mut traffic, "one", "orders-0", 500).await;

    // It waits.
    store.throw(REFUSES);
    world.apply(&backup("waits"));
    let why = world.condition::<Backup>("waits", "Complete", ("Unknown", "ClusterNotReady"), READY).await;
    println!("said: {why}");
    let operator = operator.killed(&both);
    store.throw(Fault::None);
    complete(&world, "waits");

    // It runs.
    store.throw(SLOW);
    world.apply(&backup("runs"));
    until("the backup to run", READY, async || state_of(&world, "runs").await?.progress).await;
    let operator = operator.killed(&both);
    until("it to get on", READY, async || state_of(&world, "runs").await?.bytes.filter(|bytes| *bytes > 0)).await;
    let operator = operator.killed(&both);
    store.throw(Fault::None);
    complete(&world, "runs");

    // It is there, and nobody has said so.
    store.throw(SLOW);
    world.apply(&backup("unsaid"));
    until("the backup to run", READY, async || state_of(&world, "unsaid").await?.progress).await;
    drop(operator);
    store.throw(Fault::None);
    until("it to be in the archive", BACKED_UP, async || has(&store, &world, "unsaid").then_some(())).await;
    assert!(state_of(&world, "unsaid").await.is_some_and(|status| status.completion_time.is_none()));
    let operator = Running::start(&both);
    complete(&world, "unsaid");

    // One goes: while the store refuses that, and while it takes its time.
    let mut operator = operator;
    for (name, fault) in [("refused", REFUSES), ("slow", SLOW)] {
        world.apply(&backup_with(name, ", deletionPolicy: Delete"));
        complete(&world, name);
        store.throw(fault);
        world.kubectl(&["delete", &format!("backup/{name}"), "--wait=false"]);
        until("the store to be asked", READY, async || (store.met() > 0).then_some(())).await;
        operator = operator.killed(&both);
        store.throw(Fault::None);
        world.kubectl(&["wait", "--for=delete", &format!("backup/{name}"), "--timeout=60s"]);
        assert!(!has(&store, &world, name), "{name} is gone from the archive");
    }
    assert_eq!(["waits", "runs", "unsaid"].map(|name| has(&store, &world, name)), [true; 3], "nothing else is");
    let at_the_end = counts(&world).await;
    all_archived(&world).await;

    // Another cluster is formed of it, and restored.
    store.throw(SLOW);
    let of = format!("encryptionSecret: archive, cluster: {}/orders", world.namespace);
    again.apply(&format!("{SECRET}---{}", restored("orders", 3, &store.destination(), &of)));
    until("it to be decided who forms it", READY, async || again.cluster().await.status?.formation).await;
    operator = operator.killed(&both);
    let why = again.condition::<MessageQueue>("orders", "Ready", ("False", "Restoring"), STORED).await;
    println!("said: {why}");
    operator = operator.killed(&both);
    until("shards to be restored", STORED, async || {
        let status = again.cluster().await.status?;
        status.conditions.into_iter().find(|it| it.type_ == "Ready" && it.message.contains("shards are restored"))
    })
    .await;
    operator = operator.killed(&both);
    store.throw(Fault::None);
    let took = again.wait_ready("messagequeue/orders", STORED);
    println!(
        "measured: restored under an operator that was killed three times, the rest within {:.1} s",
        took.as_secs_f64()
    );
    again.apply(JOBS);
    again.wait_ready("topic/jobs", READY);
    assert_eq!(counts(&again).await, at_the_end);
    traffic.find_brokers(&again).await;
    traffic.consume("later", "orders-0");
    let report = traffic.settle().await;
    println!("measured: backups and a restore under an operator that is killed: {report}");
    drop(operator);
}

fn complete(world: &World, name: &str) {
    let took = world.wait_condition(&format!("backup/{name}"), "Complete", BACKED_UP);
    println!("measured: the operator killed, backup {name}: complete {:.1} s later", took.as_secs_f64());
}

/// Whether a backup is in the archive.
fn has(store: &FaultyStore, world: &World, name: &str) -> bool {
    let end = format!("/backups/{name}");
    store.store.objects_of(&world.namespace).iter().any(|(object, _)| object.ends_with(&end))
}
