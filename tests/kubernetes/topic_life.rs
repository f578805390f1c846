//! A Topic is edited, deleted under each policy, and goes with its namespace.

use std::time::{Duration, Instant};

use ferrymq_api::Topic;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Confirmation};

use crate::command::kubectl;
use crate::traffic::{Traffic, connect};
use crate::world::{READY, TOPIC, World, until};

/// How long the end of a namespace with everything in it may take.
const END: Duration = Duration::from_secs(60);

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_topic_is_edited_and_goes_by_its_policy() {
    let world = World::with_cluster("topic-life").await;
    world.apply(&topic("Retain", "[{name: paid, routingKeys: [paid.*]}]"));
    in_sync(&world).await;
    publish(&world, "paid.card", 3).await;
    publish(&world, "sent.parcel", 2).await;
    assert_eq!(messages_in(&world, "paid").await, Some(3), "the key of the others matches no queue");

    // Edited: another queue, and another pattern for the one that is there.
    world.apply(&topic(
        "Retain",
        "[{name: paid, routingKeys: [paid.*, billed.*]}, {name: sent, routingKeys: [sent.#]}]",
    ));
    in_sync(&world).await;
    publish(&world, "billed.card", 1).await;
    publish(&world, "sent.parcel", 2).await;
    assert_eq!(messages_in(&world, "paid").await, Some(4));
    assert_eq!(messages_in(&world, "sent").await, Some(2));

    // Retained: the resource goes, the messages stay; a Topic of the same name takes them over.
    world.kubectl(&["delete", "mqt", "life", "--timeout=30s"]);
    assert_eq!(messages_in(&world, "paid").await, Some(4));
    world.apply(&topic("DeleteIfEmpty", "[{name: paid}, {name: sent}]"));
    in_sync(&world).await;
    assert_eq!(messages_in(&world, "sent").await, Some(2));

    // Deleted if empty: it is not, and says so.
    world.kubectl(&["delete", "mqt", "life", "--wait=false"]);
    let sentence = world.condition::<Topic>("life", "Ready", ("False", "NotEmpty"), READY).await;
    println!("measured: a Topic that is not empty says: {sentence}");
    assert_eq!(messages_in(&world, "paid").await, Some(4));

    // The policy is what it is now, also while the deletion waits.
    world.kubectl(&["patch", "mqt", "life", "--type=merge", "-p", r#"{"spec":{"deletionPolicy":"Delete"}}"#]);
    world.kubectl(&["wait", "--for=delete", "mqt/life", "--timeout=30s"]);
    assert_eq!((messages_in(&world, "paid").await, messages_in(&world, "sent").await), (None, None));
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_topic_gets_more_partitions_while_it_is_used() {
    let world = World::with_cluster("partitions").await;
    let partitioned = |count: u32| TOPIC.replace("queues:", &format!("partitions: {count}\n  queues:"));
    world.apply(&partitioned(2));
    world.wait_ready("topic/jobs", READY);
    let mut traffic = Traffic::new(&world).await;
    for broker in ["orders-0", "orders-1"] {
        traffic.publish(broker, "jobs", broker);
    }
    traffic.consume("work", "orders-2");
    traffic.flowing(200, READY).await;
    assert_eq!(messages_in(&world, "jobs-3").await, None);
    let before = messages_in(&world, "jobs-0").await.expect("it is a partition");

    world.apply(&partitioned(4));
    until("the new partitions to be there", READY, async || messages_in(&world, "jobs-3").await).await;
    let refused = world.refused(&partitioned(1));
    assert!(refused.contains("partitions cannot be lowered"), "{refused}");
    assert!(messages_in(&world, "jobs-0").await.is_some_and(|now| now >= before), "what is there stays");
    until("the status to have all partitions, each with a leader", READY, async || {
        let partitions = world.api::<Topic>().get("jobs").await.ok()?.status?.partitions;
        (partitions.len() == 4 && partitions.iter().all(|partition| partition.leader.is_some())).then_some(())
    })
    .await;
    traffic.flowing(200, READY).await;
    let report = traffic.settle().await;
    println!("measured: partitions raised under load: {report}");
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_namespace_goes_with_everything_in_it() {
    let world = World::with_cluster("namespace-end").await;
    for (name, policy) in [("kept", "Retain"), ("gone", "Delete"), ("gone-if-empty", "DeleteIfEmpty")] {
        world.apply(&format!(
            "
apiVersion: ferrymq.io/v1alpha1
kind: Topic
metadata: {{name: {name}}}
spec: {{cluster: orders, deletionPolicy: {policy}, queues: [{{name: queue-of-{name}}}]}}
"
        ));
        world.wait_ready(&format!("topic/{name}"), READY);
    }
    // One whose cluster never was: its finalizer must not hold the namespace either.
    world.apply(
        "
apiVersion: ferrymq.io/v1alpha1
kind: Topic
metadata: {name: lost}
spec: {cluster: nowhere, deletionPolicy: Delete}
",
    );
    let started = Instant::now();
    kubectl(&["delete", "namespace", &world.namespace, &format!("--timeout={}s", END.as_secs())]);
    println!("measured: end of a namespace with a cluster and four Topics: {:.1} s", started.elapsed().as_secs_f64());
}

fn topic(policy: &str, queues: &str) -> String {
    format!(
        "
apiVersion: ferrymq.io/v1alpha1
kind: Topic
metadata: {{name: life}}
spec: {{cluster: orders, deletionPolicy: {policy}, queues: {queues}}}
"
    )
}

/// Waits until the broker has what the Topic says now.
async fn in_sync(world: &World) {
    until("the topic to be in sync with its latest edit", READY, async || {
        let topic = world.api::<Topic>().get("life").await.ok()?;
        let generation = topic.metadata.generation?;
        let conditions = topic.status?.conditions;
        let in_sync = conditions.iter().find(|condition| condition.type_ == "InSync")?;
        (in_sync.status == "True" && in_sync.observed_generation == Some(generation)).then_some(())
    })
    .await;
}

/// Publishes to the topic's exchange, each message confirmed.
async fn publish(world: &World, key: &str, count: usize) {
    let link = until("a broker to answer", READY, async || connect(&world.brokers().await[0].uri).await).await;
    link.channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms are turned on");
    for _ in 0..count {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default().with_delivery_mode(2));
        let published = link.channel.basic_publish("life".into(), key.into(), options, b"message", properties).await;
        let confirmed = published.expect("it is published").await.expect("it is confirmed");
        assert!(matches!(confirmed, Confirmation::Ack(None)), "{confirmed:?}");
    }
    link.close().await;
}

/// How many messages wait in a queue; none where there is no such queue.
async fn messages_in(world: &World, queue: &str) -> Option<u32> {
    let link = until("a broker to answer", READY, async || connect(&world.brokers().await[1].uri).await).await;
    let options = QueueDeclareOptions::default().passive();
    let declared = link.channel.queue_declare(queue.into(), options, FieldTable::default()).await;
    let count = match declared {
        Ok(queue) => Some(queue.message_count()),
        Err(error) => {
            assert!(error.to_string().contains("NOT"), "only that it is not there: {error}");
            None
        }
    };
    link.close().await;
    count
}
