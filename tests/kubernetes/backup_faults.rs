//! The store that a cluster is archived in fails in every way, one after the other, while clients are at work and a backup
//! is to be made: nobody waits, nothing that was confirmed is lost, and nothing wrong is ever restored.

use std::time::{Duration, Instant};

use ferrymq_api::MessageQueue;

use crate::archives::{ARCHIVED, BACKED_UP, JOBS, all_archived, archived, back_up, backup, begin, counts, restored};
use crate::faults;
use crate::store::{SECRET, Store};
use crate::store_faults::{Fault, FaultyStore, any};
use crate::traffic::Traffic;
use crate::world::{PODS, READY, World, until};

/// The longest that a publisher may wait for a confirm while only the store is in trouble, on a busy machine.
const ORDINARY: Duration = Duration::from_secs(4);

/// Megabytes of the store.
const ROOM: u32 = 256;

/// What the store answers where it does nothing else, and what is to be said of that.
const ANSWERS: [(&str, Fault, &str); 4] = [
    ("fails", Fault::Answers(500, "InternalError", "We encountered an internal error."), "500"),
    ("slows-down", Fault::Answers(503, "SlowDown", "Please reduce your request rate."), "503"),
    ("refuses", Fault::Answers(403, "AccessDenied", "Access Denied"), "AccessDenied"),
    ("other-time", Fault::Answers(403, "RequestTimeTooSkewed", "The clocks differ too much."), "RequestTimeTooSkewed"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn whatever_the_store_does_no_client_waits_and_nothing_wrong_is_restored() {
    if faults::left_out("faults of the store") {
        return;
    }
    let world = World::new("store-faults").await;
    let mut store = FaultyStore::before(&world, Store::start_small(&world, ROOM)).await;
    begin(&world, &archived(3, &store.destination(), "")).await;
    let mut traffic = Traffic::of(&world, &["work", "later"], &[]).await;
    traffic.publish("one", "jobs", "orders-0");
    traffic.publish("two", "jobs", "orders-1");
    traffic.consume("work", "orders-2");
    traffic.flowing(300, READY).await;

    for (name, fault, said) in ANSWERS {
        let trouble = Trouble::begin(&world, name);
        store.throw(fault);
        trouble.told(&traffic, said).await;
        store.throw(Fault::None);
        trouble.over(&traffic).await;
    }

    let trouble = Trouble::begin(&world, "killed");
    store.store.stop();
    trouble.told(&traffic, "cannot").await;
    store.store.start_again();
    trouble.over(&traffic).await;

    let trouble = Trouble::begin(&world, "full");
    let filled = store.store.fill().await;
    trouble.told(&traffic, "cannot write").await;
    drop(filled);
    trouble.over(&traffic).await;

    // Nothing is wrong with a slow one, and what it is asked for comes about.
    let since = Instant::now();
    store.throw(Fault::Slow(Duration::from_millis(500), 200_000));
    let took = back_up(&world, "slow");
    let met = store.met();
    store.throw(Fault::None);
    ordinary(&traffic, "slow", since);
    println!("measured: store slow: a backup within {:.1} s, {met} requests", took.as_secs_f64());

    // Whoever leads next looks where the archive ends, and reads what is not what was written.
    let since = Instant::now();
    store.throw(Fault::FlipsABit(any));
    world.apply(&backup("flipped"));
    traffic.disturb(&PODS);
    let leader = world.pod("orders-1").await;
    faults::kill_processes(std::slice::from_ref(&leader));
    let why = unreachable(&world).await;
    println!("said: {why}");
    assert!(why.contains("damaged"), "{why}");
    store.throw(Fault::None);
    world.restarted(&[leader]).await;
    world.healthy().await;
    traffic.whole();
    reached(&world).await;
    world.wait_condition("backup/flipped", "Complete", BACKED_UP);
    for (publisher, pause) in traffic.pauses(since) {
        println!("measured: a leader killed while bits flip: longest pause of {publisher}: {} ms", pause.as_millis());
    }

    traffic.stop_publishing().await;
    traffic.drained_from("work", READY).await;
    traffic.stop_consuming().await;
    let at_the_end = counts(&world).await;
    all_archived(&world).await;
    traffic.disturb(&PODS);
    let from = world.namespace.clone();
    world.delete().await;

    let of = format!("encryptionSecret: archive, cluster: {from}/orders");
    let again = World::new("store-faults-restored").await;
    store.throw(Fault::FlipsABit(any));
    again.apply(&format!("{SECRET}---{}", restored("orders", 3, &store.destination(), &of)));
    let why = refused(&again).await;
    assert!(why.contains("damaged"), "{why}");
    store.throw(Fault::CutsOff(any));
    until("half of something to be read", READY, async || (store.met() > 4).then_some(())).await;
    // Now it is formed, and what its shards are to begin with is wrong.
    store.throw(Fault::FlipsABit(|path| path.contains("/base/") && !path.contains("/shards/0000000000/")));
    until("shards to begin", READY, async || (store.met() > 4).then_some(())).await;
    let why = refused(&again).await;
    assert!(why.contains("damaged") && why.contains("shards are restored"), "{why}");
    store.throw(Fault::None);
    let took = again.wait_ready("messagequeue/orders", READY);
    println!("measured: restored {:.1} s after the last fault, without anybody's help", took.as_secs_f64());
    again.apply(JOBS);
    again.wait_ready("topic/jobs", READY);
    assert_eq!(counts(&again).await, at_the_end, "all that was confirmed is there, and what was settled is gone");
    traffic.find_brokers(&again).await;
    traffic.whole();
    traffic.consume("later", "orders-0");
    let report = traffic.settle().await;
    println!("measured: faults of the store, and a restore: {report}");
}

/// The store is in trouble, and a backup is to be made.
struct Trouble<'a> {
    world: &'a World,
    name: &'static str,
    since: Instant,
}

impl<'a> Trouble<'a> {
    fn begin(world: &'a World, name: &'static str) -> Self {
        world.apply(&backup(name));
        Self { world, name, since: Instant::now() }
    }

    /// Waits until it is told, with what the store says of it.
    async fn told(&self, traffic: &Traffic, says: &str) {
        let why = unreachable(self.world).await;
        println!("said: {why}");
        assert!(why.contains(says), "{why}");
        println!("measured: store {}: told after {:.1} s", self.name, self.since.elapsed().as_secs_f64());
        traffic.flowing(100, READY).await;
    }

    /// It is over: waits until all goes on by itself, and the backup is there.
    async fn over(self, traffic: &Traffic) {
        let over = Instant::now();
        reached(self.world).await;
        let again = over.elapsed();
        self.world.wait_condition(&format!("backup/{}", self.name), "Complete", BACKED_UP);
        let (name, again, made) = (self.name, again.as_secs_f64(), over.elapsed().as_secs_f64());
        println!(
            "measured: store {name}: archived again {again:.1} s after it was over, the backup made after {made:.1} s"
        );
        ordinary(traffic, name, self.since);
    }
}

/// Nobody waited longer than on any other day.
fn ordinary(traffic: &Traffic, name: &str, since: Instant) {
    let longest = traffic.pauses(since).into_iter().map(|(_, pause)| pause).max().expect("there are publishers");
    println!("measured: store {name}: longest pause of a publisher: {} ms", longest.as_millis());
    assert!(longest < ORDINARY, "a publisher waited {} ms", longest.as_millis());
}

async fn unreachable(world: &World) -> String {
    let expected = ("False", "ArchiveUnreachable");
    world.condition::<MessageQueue>("orders", "ContinuousArchiving", expected, ARCHIVED).await
}

async fn reached(world: &World) {
    let expected = ("True", "Archived");
    world.condition::<MessageQueue>("orders", "ContinuousArchiving", expected, ARCHIVED).await;
}

async fn refused(world: &World) -> String {
    let why = world.condition::<MessageQueue>("orders", "Ready", ("False", "RestoreRefused"), READY).await;
    println!("said: {why}");
    why
}
