//! What GitOps tools make of the statuses that the operator writes: kstatus, by which Flux goes, and the health check in Lua
//! that docs/gitops.md has for Argo CD, which is run here as it stands there.

use std::sync::Arc;

use ferrymq_api::{MessageQueue, Reason, Topic};
use ferrymq_testkit::Kstatus;
use k8s_openapi::api::core::v1::Pod;
use mlua::{Lua, LuaSerdeExt};
use serde_json::{Value, json};

use crate::{
    fixture::{cluster, plan, resource, rolling, topic, topic_resource, topic_view},
    message_queue::{
        act::Done,
        dereference::Observed,
        forming::Forming,
        plan::Plan,
        scale::Step,
        status_of, status_of_setback,
        trouble::Trouble,
        update::{Gate, Update},
    },
    topic::{TopicPlan, status_of as topic_status_of},
};

const THREE: &str = "{replicas: 3, storage: {size: 1Gi}}";

const TOPIC: &str = "{cluster: orders, queues: [{name: payments}]}";

/// What both tools make of a resource: kstatus' word, and Argo CD's.
fn judged(resource: &Value) -> (Kstatus, String) {
    let health = argo_health(resource["kind"].as_str().unwrap(), resource);
    assert!(!health["message"].as_str().unwrap_or_default().is_empty(), "a person wants to know why");
    (Kstatus::of(resource), health["status"].as_str().unwrap().to_owned())
}

/// Runs the health check of docs/gitops.md as Argo CD does: the resource is `obj`, what the chunk returns is its health.
fn argo_health(kind: &str, resource: &Value) -> Value {
    let key = format!("  resource.customizations.health.ferrymq.io_{kind}: |\n");
    let page = include_str!("../../docs/gitops.md");
    let (_, after) = page.split_once(&key).unwrap_or_else(|| panic!("docs/gitops.md has no health check of {kind}"));
    let check: Vec<&str> = after.lines().map_while(|line| line.strip_prefix("    ")).collect();
    let lua = Lua::new();
    lua.globals().set("obj", lua.to_value(resource).unwrap()).unwrap();
    let health: mlua::Value = lua.load(check.join("\n")).eval().unwrap();
    lua.from_value(health).unwrap()
}

fn as_json(resource: &impl serde::Serialize) -> Value {
    serde_json::to_value(resource).unwrap()
}

/// A cluster of this spec whose status the operator has written.
fn queue_of(spec: &str, observed: &Observed, done: &Done, change: impl FnOnce(&mut Plan)) -> Value {
    let cluster = cluster(spec);
    let mut plan = Plan { forming: Forming::Done, ..plan(&cluster) };
    change(&mut plan);
    let mut resource: MessageQueue = resource(spec);
    resource.status = Some(status_of(&resource, &cluster, observed, &plan, done));
    as_json(&resource)
}

fn queue(observed: &Observed) -> Value {
    queue_of(THREE, observed, &Done::default(), |_| {})
}

fn topic_with(plan: &TopicPlan) -> Value {
    let mut resource: Topic = topic_resource(TOPIC);
    resource.status = Some(topic_status_of(&resource, Some(&topic(TOPIC)), plan));
    as_json(&resource)
}

/// Restarts that are to come, because the spec asks for them or because the operator brings another image.
fn update(by_operator: bool, gate: Gate) -> Option<Update> {
    Some(Update { id: "7".to_owned(), image: "ferrymq:2".to_owned(), by_operator, brokers: vec![2, 1, 0], gate })
}

fn serving() -> Observed {
    rolling(["new", "new", "new"])
}

#[test]
fn what_is_as_it_should_be_is_current() {
    assert_eq!(judged(&queue(&serving())), (Kstatus::Current, "Healthy".to_owned()));
    let view = Arc::new(topic_view(&topic(TOPIC)));
    let settled = topic_with(&TopicPlan::Settled { view, default_mirrors: Some(3) });
    assert_eq!(judged(&settled), (Kstatus::Current, "Healthy".to_owned()));
    // One that was put to sleep is what its spec asks for.
    let none = queue_of("{replicas: 0, storage: {size: 1Gi}}", &Observed::default(), &Done::default(), |_| {});
    assert_eq!(judged(&none), (Kstatus::Current, "Healthy".to_owned()));
}

#[test]
fn restarts_that_wait_for_somebody_or_for_a_window_keep_nobody_waiting() {
    for (by_operator, gate) in [(true, Gate::Approval), (false, Gate::Approval), (false, Gate::Window(None))] {
        let later = queue_of(THREE, &serving(), &Done::default(), |plan| plan.update = update(by_operator, gate));
        assert_eq!(judged(&later), (Kstatus::Current, "Healthy".to_owned()), "{gate:?}");
    }
}

#[test]
fn what_is_on_its_way_is_in_progress() {
    let progressing = (Kstatus::InProgress, "Progressing".to_owned());
    let rolled = queue_of(THREE, &serving(), &Done::default(), |plan| plan.update = update(false, Gate::Open));
    assert_eq!(judged(&rolled), progressing, "brokers are restarted");
    let mut missing = serving();
    missing.brokers.insert(1, Err("connection refused".to_owned()));
    assert_eq!(judged(&queue(&missing)), progressing, "a broker is missing");
    let emptied = queue_of(THREE, &serving(), &Done::default(), |plan| plan.scale.step = Step::Wait(vec![(3, 2)]));
    assert_eq!(judged(&emptied), progressing, "brokers are emptied before they go");
    let waiting = topic_with(&TopicPlan::ClusterNotReady("orders does not answer".to_owned()));
    assert_eq!(judged(&waiting), progressing, "a topic waits for its cluster");
}

#[test]
fn what_the_operator_has_not_seen_is_in_progress() {
    let mut changed = queue(&serving());
    changed["metadata"]["generation"] = json!(2);
    assert_eq!(judged(&changed), (Kstatus::InProgress, "Progressing".to_owned()));
    // What the API server gives a resource that was just made.
    for mut made in [as_json(&resource(THREE)), as_json(&topic_resource(TOPIC))] {
        made["status"] = json!({"observedGeneration": -1});
        assert_eq!(judged(&made), (Kstatus::InProgress, "Progressing".to_owned()));
    }
}

#[test]
fn what_needs_a_person_has_failed() {
    let failed = (Kstatus::Failed, "Degraded".to_owned());
    let lost = queue_of(THREE, &Observed::default(), &Done::default(), |plan| {
        plan.forming = Forming::DataLost("bring the volumes back".to_owned());
    });
    assert_eq!(judged(&lost), failed);

    let container = json!({"name": "broker", "image": "ferrymq:typo", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}});
    let pod = json!({"metadata": {"name": "orders-1"}, "status": {"containerStatuses": [container]}});
    let mut unpulled = serving();
    unpulled.pods.insert(1, serde_json::from_value::<Pod>(pod).unwrap());
    assert_eq!(judged(&queue(&unpulled)), failed);

    let refused = Step::Refused { why: "there are queues with 3 mirrors".to_owned(), undo: None };
    assert_eq!(judged(&queue_of(THREE, &serving(), &Done::default(), |plan| plan.scale.step = refused)), failed);
    let stuck = Done { growth_refused: Some("the class does not let volumes grow".to_owned()), ..Done::default() };
    assert_eq!(judged(&queue_of(THREE, &serving(), &stuck, |_| {})), failed);

    let waits = Done { restart_waits: Some("orders-2 must serve again".to_owned()), ..Done::default() };
    assert_eq!(judged(&queue_of(THREE, &serving(), &waits, |plan| plan.overdue = true)), failed, "a roll has stopped");

    let message = "the API server does not take Service orders: quota".to_owned();
    let refused = Trouble { reason: Reason::QuotaExceeded, message, stalls: true };
    let done = Done { setback: Some(refused.clone()), ..Done::default() };
    assert_eq!(judged(&queue_of(THREE, &serving(), &done, |_| {})), failed, "brokers serve, and it goes no further");
    let mut quota = resource(THREE);
    quota.status = Some(status_of_setback(&quota, &refused));
    assert_eq!(judged(&as_json(&quota)), failed);
    assert_eq!(judged(&topic_with(&TopicPlan::ClusterNotFound("there is none".to_owned()))), failed);
}

#[test]
fn a_paused_cluster_is_current_and_argo_says_that_it_is_suspended() {
    let paused = queue_of("{storage: {size: 1Gi}, paused: true}", &serving(), &Done::default(), |_| {});
    assert_eq!(judged(&paused), (Kstatus::Current, "Suspended".to_owned()));
}
