//! Backups go when nobody wants them any more, by hand and by retention: what no other needs goes with them, and nothing
//! else.

use std::collections::BTreeSet;

use crate::archives::{
    BACKED_UP, all_archived, archived, begin, counts, labelled_backup, made_again, now, published, state_of,
};
use crate::store::Store;
use crate::traffic::Traffic;
use crate::world::{READY, World, until};

/// A schedule that asks for nothing while this runs; and the last of its backups is kept.
const PLAN: &str = ", schedule: '0 0 1 1 *', retention: {last: 1}";
const DELETE: &str = ", deletionPolicy: Delete";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_backup_that_goes_takes_along_what_no_other_needs_and_nothing_else() {
    let world = World::new("backup-life").await;
    let store = Store::start(&world);
    begin(&world, &archived(1, &store.destination(), PLAN)).await;
    let mut traffic = Traffic::of(&world, &["work", "later"], &[]).await;
    traffic.consume("work", "orders-0");
    let bases = || of_kind(&store, &world, "/bases/");

    published(&mut traffic, "zero", "orders-0", 300).await;
    make(&world, &labelled_backup("first", "", DELETE));
    let first = bases();
    // As the schedule would have made them: one for each minute that it asked for.
    for (number, name) in ["nightly-one", "nightly-two"].into_iter().enumerate() {
        published(&mut traffic, name, "orders-0", 300).await;
        let label = format!("ferrymq.io/scheduled: '{}'", now() - 120 + 60 * number as u64);
        make(&world, &labelled_backup(name, &label, DELETE));
    }
    world.kubectl(&["wait", "--for=delete", "backup/nightly-one", "--timeout=60s"]);
    until("it to be gone from the archive", READY, async || {
        (names(&store, &world) == ["first", "nightly-two"]).then_some(())
    })
    .await;
    assert!(state_of(&world, "first").await.is_some(), "what was made by hand stays");
    assert!(first.is_subset(&bases()), "what it needs is there");

    let parts = of_kind(&store, &world, "/log/").len();
    world.kubectl(&["delete", "backup/first", "--timeout=60s"]);
    // Shards in which nothing happened share theirs.
    until("what only it needed to be gone", READY, async || is_one_of_each_shard(&bases()).then_some(())).await;
    assert!(!first.is_subset(&bases()), "what only it needed is gone");
    until("the log before that to be gone", READY, async || {
        (of_kind(&store, &world, "/log/").len() < parts).then_some(())
    })
    .await;
    println!("measured: of {parts} parts of the log, {} are left", of_kind(&store, &world, "/log/").len());
    assert_eq!(names(&store, &world), ["nightly-two"]);

    // One of that name again is another one, of what there is now.
    published(&mut traffic, "again", "orders-0", 300).await;
    traffic.drained_from("work", READY).await;
    traffic.stop_consuming().await;
    let began = now();
    make(&world, &labelled_backup("first", "", ""));
    let status = state_of(&world, "first").await.expect("it has a status");
    let began_at = status.start_time.expect("it was begun").0.as_second();
    assert!(began_at.unsigned_abs() + 1 >= began, "it is a new one");
    all_archived(&world).await;
    let at_the_end = counts(&world).await;

    let of = format!("encryptionSecret: archive, cluster: {}/orders, backup", world.namespace);
    let older = made_again("backup-life-older", 1, &store.destination(), &format!("{of}: nightly-two")).await;
    assert!(counts(&older).await.1 >= 900, "all that was confirmed before it is there");
    drop(older);
    let newer = made_again("backup-life-newer", 1, &store.destination(), &format!("{of}: first")).await;
    assert_eq!(counts(&newer).await, at_the_end);
    traffic.disturb(&["orders-0"]);
    traffic.find_brokers(&newer).await;
    traffic.whole();
    traffic.consume("later", "orders-0");
    let report = traffic.settle().await;
    println!("measured: restored from what is left after two backups went: {report}");
}

/// Each shard has one base.
fn is_one_of_each_shard(bases: &BTreeSet<String>) -> bool {
    let shards: BTreeSet<&str> =
        bases.iter().filter_map(|name| name.rsplit_once('/')).map(|(shard, _)| shard).collect();
    shards.len() == bases.len()
}

fn make(world: &World, backup: &str) {
    world.apply(backup);
    let name = backup.split("name: ").nth(1).and_then(|rest| rest.split(',').next()).expect("it has a name");
    world.wait_condition(&format!("backup/{name}"), "Complete", BACKED_UP);
}

/// The names of the objects of a kind.
fn of_kind(store: &Store, world: &World, kind: &str) -> BTreeSet<String> {
    let objects = store.objects_of(&world.namespace).into_iter();
    objects.map(|(name, _)| name).filter(|name| name.contains(kind)).collect()
}

/// The backups that are in the archive.
fn names(store: &Store, world: &World) -> Vec<String> {
    let last = |name: String| name.rsplit('/').next().map(str::to_owned);
    of_kind(store, world, "/backups/").into_iter().filter_map(last).collect()
}
