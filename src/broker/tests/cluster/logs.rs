//! Logs: read by many, by offset and by time, and trimmed.

use std::collections::BTreeSet;

use ferrymq_broker::{Topic, TopicLog};
use ferrymq_core::{ConsumerId, ExchangeKind, LogDeclaration};

use super::*;

fn log(name: &str, kept: LogDeclaration) -> QueueDeclaration {
    QueueDeclaration { log: Some(kept), ..queue(name) }
}

fn kept(bytes: u64) -> LogDeclaration {
    LogDeclaration { bytes: Some(bytes), ..LogDeclaration::default() }
}

fn offsets(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|delivery| delivery.id.message).collect()
}

impl Client {
    async fn fill(&mut self, name: &str, numbers: std::ops::Range<u64>) {
        for number in numbers {
            self.publish(name, &number.to_string()).await;
        }
        self.all_confirmed().await;
    }

    async fn read(&self, name: &str, prefetch: u16, position: LogPosition) -> ConsumerId {
        self.session.subscribe(reading(name, prefetch, Some(position))).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_reads_all_of_a_log_from_where_they_want_on_any_node() {
    in_time(async {
        let cluster = Cluster::of(3).await;
        let mut publisher = cluster.client(0).await;
        publisher.session.declare_queue(log("l", LogDeclaration::default())).await.unwrap();
        publisher.fill("l", 0..100).await;
        for node in 0..3 {
            let mut reader = cluster.client(node).await;
            reader.read("l", 10, LogPosition::First).await;
            for round in 0..10 {
                let got = reader.receive(10).await;
                assert_eq!(offsets(&got), (round * 10..round * 10 + 10).collect::<Vec<_>>());
                assert_eq!(bodies(&got), (round * 10..round * 10 + 10).map(|n| n.to_string()).collect::<Vec<_>>());
                reader.accept(&got);
            }
            let mut later = cluster.client(node).await;
            later.read("l", 10, LogPosition::Offset(97)).await;
            assert_eq!(offsets(&later.receive(3).await), [97, 98, 99]);
        }
        let mut next = cluster.client(1).await;
        next.read("l", 10, LogPosition::Next).await;
        publisher.fill("l", 100..103).await;
        assert_eq!(bodies(&next.receive(3).await), ["100", "101", "102"]);
        let state = publisher.session.check_queue(&QueueName::new("l").unwrap()).await.unwrap();
        assert_eq!(state.messages, 103);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_goes_on_where_it_was_after_a_restart_and_under_another_leader() {
    in_time(async {
        let mut cluster = Cluster::of(3).await;
        let mut publisher = cluster.client(1).await;
        publisher.session.declare_queue(log("l", LogDeclaration::default())).await.unwrap();
        publisher.fill("l", 0..50).await;
        let mut reader = cluster.client(2).await;
        reader.read("l", 100, LogPosition::First).await;
        let first = reader.receive(50).await;
        assert_eq!(offsets(&first), (0..50).collect::<Vec<_>>());
        reader.accept(&first);
        cluster.stop(0).await;
        publisher.fill("l", 50..100).await;
        assert_eq!(offsets(&reader.receive(50).await), (50..100).collect::<Vec<_>>());
        cluster.start(0).await;
        cluster.all_serve().await;
        let mut again = cluster.client(0).await;
        again.read("l", 200, LogPosition::Offset(40)).await;
        let got = again.receive(60).await;
        assert_eq!(bodies(&got), (40..100).map(|number| number.to_string()).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_over_its_bytes_loses_its_oldest_messages_and_no_offset_changes() {
    in_time(async {
        let cluster = Cluster::of(1).await;
        let mut client = cluster.client(0).await;
        client.session.declare_queue(log("l", kept(4000))).await.unwrap();
        for number in 0..100 {
            client.publish("l", &format!("{number:0>100}")).await;
            client.all_confirmed().await;
        }
        let name = QueueName::new("l").unwrap();
        while client.session.check_queue(&name).await.unwrap().messages > 40 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let left = client.session.check_queue(&name).await.unwrap().messages;
        client.read("l", 200, LogPosition::First).await;
        let got = client.receive(left as usize).await;
        assert_eq!(offsets(&got), (100 - left..100).collect::<Vec<_>>());
        assert_eq!(got[0].message.body, format!("{:0>100}", 100 - left));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_does_not_do_what_only_queues_do() {
    in_time(async {
        let cluster = Cluster::of(1).await;
        let client = cluster.client(0).await;
        let name = QueueName::new("l").unwrap();
        let temporary = QueueDeclaration { durable: false, ..log("l", kept(1)) };
        let refused = client.session.declare_queue(temporary).await.unwrap_err();
        assert_eq!(refused.to_string(), "invalid property 'non-durable' for queue 'l' in vhost '/'");
        client.session.declare_queue(log("l", kept(1_000_000))).await.unwrap();
        assert!(matches!(client.session.declare_queue(queue("l")).await, Err(Refusal::Inequivalent { .. })));
        assert!(matches!(client.session.get(&name).await, Err(Refusal::NotSupported { .. })));
        assert!(matches!(client.session.purge_queue(&name).await, Err(Refusal::NotSupported { .. })));
        let refused = client.session.subscribe(reading("l", 0, None)).await.unwrap_err();
        assert_eq!(refused.to_string(), "consumer prefetch count is not set for stream queue 'l' in vhost '/'");
        client.declare("q").await;
        let refused = client.session.subscribe(reading("q", 1, Some(LogPosition::First))).await;
        assert!(matches!(refused, Err(Refusal::Precondition { .. })));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_a_log_that_is_deleted_is_told() {
    in_time(async {
        let cluster = Cluster::of(1).await;
        let mut client = cluster.client(0).await;
        client.session.declare_queue(log("l", LogDeclaration::default())).await.unwrap();
        let consumer = client.read("l", 1, LogPosition::First).await;
        client.session.delete_queue(&QueueName::new("l").unwrap(), false, false).await.unwrap();
        loop {
            if let Event::ConsumerGone { consumer: gone, .. } = client.events.recv().await.unwrap() {
                assert_eq!(gone, consumer);
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_topic_is_in_one_partition_and_in_order() {
    in_time(async {
        let cluster = Cluster::of(1).await;
        let topic = Topic {
            virtual_host: "/".into(),
            name: "orders".into(),
            owner_name: "o".into(),
            owner_uid: "o".into(),
            adopt: true,
            kind: ExchangeKind::Topic,
            mirrors: None,
            bindings: Vec::new(),
            queues: Vec::new(),
            log: Some(TopicLog { partitions: 3.try_into().unwrap(), retention: LogDeclaration::default() }),
        };
        let view = cluster.node(0).declare_topic(topic.clone()).await.unwrap();
        assert_eq!(view.topic, topic);
        assert_eq!(view.partitions.len(), 3);
        let mut client = cluster.client(0).await;
        for number in 0..60_u64 {
            client.published += 1;
            let message = Message {
                exchange: ExchangeName::new("orders").unwrap(),
                ..message(&format!("key-{}", number % 6), &number.to_string())
            };
            let tag = Tag { channel: 1, sequence: client.published };
            assert!(matches!(client.session.publish(message, None, Some(tag)).await, Ok(Published::Routed)));
        }
        client.all_confirmed().await;
        for partition in 0..3 {
            client.read(&format!("orders-{partition}"), 100, LogPosition::First).await;
        }
        let got = client.receive(60).await;
        let mut queues_of_key = std::collections::BTreeMap::<_, (BTreeSet<_>, Vec<u64>)>::new();
        for delivery in &got {
            let (queues, numbers) = queues_of_key.entry(delivery.message.routing_key.to_string()).or_default();
            queues.insert(delivery.id.queue);
            numbers.push(String::from_utf8_lossy(&delivery.message.body).parse().unwrap());
        }
        assert_eq!(queues_of_key.len(), 6);
        for (key, (queues, numbers)) in queues_of_key {
            assert_eq!((queues.len(), numbers.len()), (1, 10), "{key}");
            assert!(numbers.is_sorted(), "{key}: {numbers:?}");
        }
        let beyond = Message { exchange: ExchangeName::new("orders").unwrap(), ..message("k", "m") };
        let refused = client.session.publish(beyond, Some(3), None).await.unwrap_err();
        assert_eq!(refused.to_string(), "no partition 3 of topic 'orders' in vhost '/': it has 3, counted from 0");
    })
    .await;
}
