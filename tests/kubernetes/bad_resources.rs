//! What cannot be is refused, at admission where a rule can see it, else by a condition; nothing else changes.

use ferrymq_api::{MessageQueue, Topic};

use crate::traffic::Traffic;
use crate::world::{READY, TOPIC, World};

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn what_a_rule_can_see_is_refused_at_admission() {
    let world = World::new("refused").await;
    for (spec, sentence) in [
        ("{replicas: 100, storage: {size: 1Gi}}", "replicas must be between 0 and 99"),
        ("{replicas: -1, storage: {size: 1Gi}}", "replicas must be between 0 and 99"),
        ("{replicas: 3, mirrors: 5, storage: {size: 1Gi}}", "mirrors must be at most replicas"),
        ("{replicas: 3, storage: {size: plenty}}", "storage.size must be a quantity"),
        ("{replicas: 3, storage: {size: -1Gi}}", "storage.size must be a quantity"),
        ("{replicas: 3}", "spec.storage"),
        (
            "{replicas: 3, storage: {size: 1Gi}, listeners: [{name: amqp, protocol: amqp, port: 80}]}",
            "do not run as root",
        ),
    ] {
        let complaint = world.refused(&cluster(spec));
        assert!(complaint.contains(sentence), "{spec}: {complaint}");
    }
    for (spec, sentence) in [
        ("{cluster: ''}", "name of a MessageQueue"),
        ("{cluster: orders, mirrors: 0}", "mirrors must be between 1 and 7"),
        ("{cluster: orders, name: amq.mine}", "reserved"),
        ("{cluster: orders, type: tree}", "type"),
    ] {
        let complaint = world.refused(&topic("jobs", spec));
        assert!(complaint.contains(sentence), "{spec}: {complaint}");
    }
    world.apply(&topic("jobs", "{cluster: orders}"));
    for (spec, sentence) in [
        ("{cluster: others}", "cluster cannot be changed"),
        ("{cluster: orders, name: other}", "name of a topic cannot be changed"),
        ("{cluster: orders, virtualHost: other}", "virtualHost cannot be changed"),
        ("{cluster: orders, type: fanout}", "type cannot be changed"),
    ] {
        let complaint = world.refused(&topic("jobs", spec));
        assert!(complaint.contains(sentence), "{spec}: {complaint}");
    }
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn what_only_the_operator_can_see_is_a_condition_with_a_sentence() {
    let world = World::with_cluster("unhappy").await;
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    let mut traffic = Traffic::new(&world).await;
    traffic.publish("meanwhile", "jobs", "orders-0");
    traffic.consume("work", "orders-1");
    traffic.flowing(50, READY).await;

    world.apply(&topic("lost", "{cluster: nowhere}"));
    unhappy::<Topic>(&world, "lost", "ClusterNotFound", "nowhere").await;

    world.apply(&topic("jobs-again", "{cluster: orders, name: jobs}"));
    unhappy::<Topic>(&world, "jobs-again", "TopicConflict", "jobs").await;

    world.apply(&topic("too-many", "{cluster: orders, mirrors: 5}"));
    unhappy::<Topic>(&world, "too-many", "MirrorsWouldNotFit", "5").await;

    world.apply(&named("no-image", "{replicas: 1, image: 'registry.invalid/nothing:1', storage: {size: 1Gi}}"));
    unhappy::<MessageQueue>(&world, "no-image", "ImageUnavailable", "registry.invalid/nothing:1").await;

    world.apply(&named("no-class", "{replicas: 1, storage: {size: 1Gi, storageClassName: nothing}}"));
    unhappy::<MessageQueue>(&world, "no-class", "VolumeNotBound", "data-no-class-0").await;

    world.apply("{apiVersion: v1, kind: ResourceQuota, metadata: {name: full}, spec: {hard: {pods: '5'}}}");
    world.apply(&named("no-room", "{replicas: 1, storage: {size: 1Gi}}"));
    unhappy::<MessageQueue>(&world, "no-room", "PodsRefused", "full").await;

    // And who did nothing wrong notices nothing.
    traffic.flowing(50, READY).await;
    let report = traffic.settle().await;
    assert_eq!(report.repeated, 0);
    world.condition::<MessageQueue>("orders", "Ready", ("True", "AllServing"), READY).await;
}

/// Waits until a resource is not ready for this reason, with a sentence that names what is meant.
async fn unhappy<K>(world: &World, name: &str, reason: &str, named: &str)
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + crate::world::Conditions
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let sentence = world.condition::<K>(name, "Ready", ("False", reason), READY).await;
    println!("measured: {reason}: {sentence}");
    assert!(sentence.contains(named), "the sentence names {named}: {sentence}");
}

fn cluster(spec: &str) -> String {
    named("orders", spec)
}

fn named(name: &str, spec: &str) -> String {
    format!("{{apiVersion: ferrymq.io/v1alpha1, kind: MessageQueue, metadata: {{name: {name}}}, spec: {spec}}}")
}

fn topic(name: &str, spec: &str) -> String {
    format!("{{apiVersion: ferrymq.io/v1alpha1, kind: Topic, metadata: {{name: {name}}}, spec: {spec}}}")
}
