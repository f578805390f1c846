//! Brokers are restarted because the spec says something else: when somebody has approved, when a window opens, and not for
//! long where what they are to run does not run.

use std::time::Instant;

use ferrymq_api::{MessageQueue, PlanWaitsFor, UpdatePlan};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use crate::traffic::Traffic;
use crate::world::{PODS, READY, TOPIC, World, until};

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_roll_waits_to_be_approved_and_goes_zone_by_zone_under_load() {
    let world = World::with_cluster("roll").await;
    let traffic = loaded(&world).await;
    let before = world.uids().await;

    patch(&world, r#"{"upgrade": {"approval": "Manual"}, "podTemplate": {"annotations": {"example.com/turn": "1"}}}"#);
    let said = world.condition::<MessageQueue>("orders", "UpdateComplete", ("False", "ApprovalAwaited"), READY).await;
    println!("said: {said}");
    let plan = plan(&world).await;
    assert_eq!(plan.waits_for, Some(PlanWaitsFor::Approval));
    assert_eq!(plan.restarts.len(), 3);
    // Nothing is wrong meanwhile, and nobody is kept waiting.
    world.condition::<MessageQueue>("orders", "Reconciling", ("False", "Settled"), READY).await;
    assert_eq!(world.uids().await, before);
    // One that goes by itself comes back as it was.
    let uid = world.pod("orders-0").await.uid().expect("a pod has a uid");
    traffic.disturb(&["orders-0"]);
    world.kubectl(&["delete", "pod", "orders-0", "--wait=false"]);
    world.replaced("orders-0", &uid, READY).await;
    assert_eq!(turn(&world, "orders-0").await, None);
    whole(&world, &traffic).await;

    let order = self::plan(&world).await.restarts;
    let since = Instant::now();
    traffic.disturb(&PODS);
    world.kubectl(&["annotate", "mq/orders", "--overwrite", &format!("ferrymq.io/approved-plan={}", plan.id)]);
    rolled(&world, "1").await;
    let took = since.elapsed().as_secs_f64();
    for (publisher, pause) in traffic.pauses(since) {
        println!(
            "measured: a roll of three brokers in {took:.1} s: longest pause of the publisher at {publisher}: {} ms",
            pause.as_millis()
        );
    }
    assert_eq!(by_age(&world).await, order, "they are restarted in the order that was announced");
    whole(&world, &traffic).await;
    assert_eq!(world.cluster().await.status.and_then(|status| status.plan), None);

    // The approval was of that plan, and of no other.
    patch(&world, r#"{"podTemplate": {"annotations": {"example.com/turn": "2"}}}"#);
    world.condition::<MessageQueue>("orders", "UpdateComplete", ("False", "ApprovalAwaited"), READY).await;
    // In a window that is not open nothing is begun, and in one that is, it is.
    let later = window(Timestamp::now() + SignedDuration::from_hours(6));
    patch(&world, &format!(r#"{{"upgrade": {{"approval": "Automatic", "maintenanceWindows": [{later}]}}}}"#));
    let said = world.condition::<MessageQueue>("orders", "UpdateComplete", ("False", "WindowAwaited"), READY).await;
    println!("said: {said}");
    assert!(self::plan(&world).await.next_window.is_some());
    traffic.disturb(&PODS);
    let now = window(Timestamp::now() - SignedDuration::from_mins(1));
    patch(&world, &format!(r#"{{"upgrade": {{"maintenanceWindows": [{later}, {now}]}}}}"#));
    rolled(&world, "2").await;
    whole(&world, &traffic).await;
    let report = traffic.settle().await;
    println!("measured: rolls, approved and in a window: {report}");
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_roll_to_what_does_not_run_stops_at_the_first_broker_and_goes_back() {
    let world = World::with_cluster("bad-roll").await;
    let traffic = loaded(&world).await;
    traffic.disturb(&PODS);
    let good = world.pod("orders-0").await.spec.and_then(|spec| spec.containers.into_iter().next()?.image);
    let good = good.expect("a broker has an image");
    patch(&world, r#"{"image": "ferrymq.local/ferrymq:never-made"}"#);
    let said = world.condition::<MessageQueue>("orders", "Stalled", ("True", "ImageUnavailable"), READY).await;
    println!("said: {said}");
    let first = plan(&world).await.restarts.len();
    assert_eq!(first, 2, "the first broker was replaced, and no other one is");
    traffic.flowing(300, READY).await;
    let serving = world.cluster().await.status.map(|status| status.ready_replicas);
    assert_eq!(serving, Some(2));

    let since = Instant::now();
    patch(&world, &format!(r#"{{"image": "{good}"}}"#));
    world.condition::<MessageQueue>("orders", "UpdateComplete", ("True", "AllUpdated"), READY).await;
    world.condition::<MessageQueue>("orders", "Ready", ("True", "AllServing"), READY).await;
    println!("measured: from a bad image back to three brokers that serve: {:.1} s", since.elapsed().as_secs_f64());
    whole(&world, &traffic).await;
    let report = traffic.settle().await;
    println!("measured: a roll that was stopped and taken back: {report}");
}

/// Publishers at two brokers and a consumer at one.
async fn loaded(world: &World) -> Traffic {
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    let mut traffic = Traffic::new(world).await;
    for broker in ["orders-0", "orders-1"] {
        traffic.publish(broker, "jobs", broker);
    }
    traffic.consume("work", "orders-2");
    traffic.flowing(300, READY).await;
    traffic
}

fn patch(world: &World, spec: &str) {
    world.kubectl(&["patch", "mq/orders", "--type=merge", "-p", &format!(r#"{{"spec":{spec}}}"#)]);
}

/// A window that opens in the minute of this time, and is open for an hour.
fn window(opens: Timestamp) -> String {
    format!(r#"{{"cron": "{}", "duration": "1h"}}"#, opens.strftime("%M %H * * *"))
}

async fn plan(world: &World) -> UpdatePlan {
    until("a plan in the status", READY, async || world.cluster().await.status?.plan).await
}

/// The pods, the oldest first.
async fn by_age(world: &World) -> Vec<String> {
    let mut pods = world.pods().await;
    pods.sort_by_key(|pod| pod.creation_timestamp().map(|time| time.0));
    pods.iter().map(|pod| pod.name_any()).collect()
}

async fn turn(world: &World, pod: &str) -> Option<String> {
    world.pod(pod).await.annotations().get("example.com/turn").cloned()
}

/// Every broker has been restarted with this annotation, and all is well.
async fn rolled(world: &World, turn: &str) {
    world.condition::<MessageQueue>("orders", "UpdateComplete", ("True", "AllUpdated"), READY).await;
    for pod in PODS {
        assert_eq!(self::turn(world, pod).await.as_deref(), Some(turn), "{pod}");
    }
    world.condition::<MessageQueue>("orders", "Ready", ("True", "AllServing"), READY).await;
}

async fn whole(world: &World, traffic: &Traffic) {
    world.healthy().await;
    traffic.find_brokers(world).await;
    traffic.whole();
    traffic.flowing(200, READY).await;
}
