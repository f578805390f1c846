//! Bad weather of the control plane: quotas, policies that deny, an API server that stands still. It is said, clients go on,
//! and so does the operator when it is over.

use std::time::{Duration, Instant};

use ferrymq_api::MessageQueue;
use tokio::time::sleep;

use crate::command::{fed, try_kubectl};
use crate::faults;
use crate::traffic::Traffic;
use crate::world::{READY, THREE_BROKERS, TOPIC, World, until};

/// What was refused is tried again once a minute at least.
const TRIED_AGAIN: Duration = Duration::from_secs(150);

/// How long the API server stands still: longer than the operator's Lease can go without being renewed.
const STANDS_STILL: Duration = Duration::from_secs(30);

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_quota_is_told_and_the_cluster_is_made_when_it_is_raised() {
    let world = World::new("quota").await;
    quota(&world, "services: '1', persistentvolumeclaims: '1'");
    world.apply(THREE_BROKERS);
    let said = world.condition::<MessageQueue>("orders", "Stalled", ("True", "QuotaExceeded"), READY).await;
    println!("said: {said}");
    assert!(said.contains("Service orders") && said.contains("exceeded quota: story"), "{said}");
    world.condition::<MessageQueue>("orders", "Ready", ("False", "QuotaExceeded"), READY).await;

    // Now what Kubernetes makes for the operator is refused.
    quota(&world, "services: '2', persistentvolumeclaims: '1'");
    let said = world.condition::<MessageQueue>("orders", "Ready", ("False", "PodsRefused"), TRIED_AGAIN).await;
    println!("said: {said}");
    assert!(said.contains("exceeded quota: story"), "{said}");

    quota(&world, "services: '2', persistentvolumeclaims: '3'");
    world.condition::<MessageQueue>("orders", "Ready", ("True", "AllServing"), TRIED_AGAIN).await;
    world.condition::<MessageQueue>("orders", "Stalled", ("False", "NothingInTheWay"), READY).await;
}

fn quota(world: &World, hard: &str) {
    world.apply(&format!(
        "{{apiVersion: v1, kind: ResourceQuota, metadata: {{name: story}}, spec: {{hard: {{{hard}}}}}}}"
    ));
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_policy_that_denies_is_named_and_brokers_serve_on() {
    let world = World::with_cluster("denied").await;
    let traffic = loaded(&world).await;
    let policy = Policy::new(&world.namespace);
    let namespace = ["--namespace", &world.namespace];
    until("the policy to be in force", READY, async || {
        let dry = ["annotate", "statefulset/orders", "--dry-run=server", "--overwrite", "example.com/story=1"];
        try_kubectl(&[&namespace[..], &dry].concat()).err().filter(|complaint| complaint.contains("not on a Sunday"))
    })
    .await;
    world.kubectl(&["scale", "mq/orders", "--replicas=4"]);
    let said = world.condition::<MessageQueue>("orders", "Stalled", ("True", "AdmissionDenied"), READY).await;
    println!("said: {said}");
    assert!(
        said.contains(&policy.0) && said.contains("StatefulSet orders") && said.contains("not on a Sunday"),
        "{said}"
    );
    // The three that there are serve, and nobody notices.
    traffic.flowing(100, READY).await;
    let events = world.kubectl(&["get", "events.events.k8s.io", "-o=jsonpath={.items[*].reason}"]);
    assert_eq!(events.matches("AdmissionDenied").count(), 1, "it is told once: {events}");

    drop(policy);
    world.condition::<MessageQueue>("orders", "ScaleComplete", ("True", "AllRunning"), TRIED_AGAIN).await;
    world.condition::<MessageQueue>("orders", "Stalled", ("False", "NothingInTheWay"), READY).await;
    let report = traffic.settle().await;
    println!("measured: under a policy that denies: {report}");
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn clients_do_without_an_api_server_and_the_operator_goes_on_when_it_is_back() {
    if faults::left_out("the API server stands still") {
        return;
    }
    let world = World::with_cluster("no-api").await;
    let traffic = loaded(&world).await;
    let since = Instant::now();
    let paused = faults::pause_api_server();
    traffic.flowing(200, READY).await;
    // How long it stands still is the fault that is thrown here.
    sleep(STANDS_STILL.saturating_sub(since.elapsed())).await;
    traffic.flowing(200, READY).await;
    for (publisher, pause) in traffic.pauses(since) {
        println!("measured: without an API server: longest pause of {publisher}: {} ms", pause.as_millis());
    }
    drop(paused);
    let back = Instant::now();
    world.kubectl(&["scale", "mq/orders", "--replicas=4"]);
    world.condition::<MessageQueue>("orders", "ScaleComplete", ("True", "AllRunning"), TRIED_AGAIN).await;
    println!("measured: API server back to a fourth broker: {:.1} s", back.elapsed().as_secs_f64());
    world.condition::<MessageQueue>("orders", "Ready", ("True", "AllServing"), READY).await;
    let report = traffic.settle().await;
    println!("measured: without an API server for {} s: {report}", STANDS_STILL.as_secs());
}

async fn loaded(world: &World) -> Traffic {
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    let mut traffic = Traffic::new(world).await;
    traffic.publish("meanwhile", "jobs", "orders-0");
    traffic.consume("work", "orders-1");
    traffic.flowing(100, READY).await;
    traffic
}

/// A policy that denies StatefulSets of one namespace; it goes with its story.
struct Policy(String);

impl Policy {
    fn new(namespace: &str) -> Self {
        let name = format!("no-sets-{namespace}");
        let policy = format!(
            "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - {{apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [statefulsets]}}
  validations: [{{expression: 'false', message: not on a Sunday}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec:
  policyName: {name}
  validationActions: [Deny]
  matchResources:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}
"
        );
        fed(&["apply", "-f", "-"], &policy).expect("a policy is admitted");
        Self(name)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
            let _ = try_kubectl(&["delete", kind, &self.0, "--ignore-not-found"]);
        }
    }
}
