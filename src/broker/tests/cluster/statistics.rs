//! Nodes in figures: what clients did is counted, once, and what is there is told by who leads it.

use ferrymq_broker::{QueueTotals, Statistics};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_did_is_counted_by_their_own_node() {
    in_time(async {
        let cluster = Cluster::of(1).await;
        let before = cluster.node(0).statistics();
        let mut client = cluster.client(0).await;
        client.declare("q").await;
        for number in 0..5 {
            client.publish("q", &number.to_string()).await;
        }
        client.all_confirmed().await;
        let nowhere = client.session.publish(message("nowhere", "?"), None, None).await.unwrap();
        assert!(matches!(nowhere, Published::Unroutable(_)));
        client.consume("q", 3).await;
        let held = client.receive(3).await;

        let after = cluster.node(0).statistics();
        let counted = after.messages;
        assert_eq!((counted.published, counted.unroutable, counted.confirmed), (6, 1, 5));
        // Five bodies of one byte with the key `q`, and one with the key `nowhere`.
        assert_eq!(counted.published_bytes, 5 * 2 + 8);
        assert_eq!((counted.delivered, counted.delivered_bytes, counted.redelivered), (3, 6, 0));
        let expected =
            QueueTotals { queues: 1, ready: 2, unacknowledged: 3, bytes: after.queues.bytes, ..Default::default() };
        assert_eq!(after.queues, expected);
        assert_eq!((after.sessions, after.consumers), (1, 1));
        assert!(after.journal.appended_records > before.journal.appended_records);
        assert!(after.journal.syncs.buckets.iter().sum::<u64>() > 0);
        assert!(after.journal.live_bytes > 0 && after.journal.live_bytes <= after.journal.bytes);

        client.accept(&held[..2]);
        client.session.settle(&[held[2].id], Settlement::Requeue);
        client.receive(3).await;
        let counted = cluster.node(0).statistics().messages;
        assert_eq!((counted.acknowledged, counted.requeued, counted.discarded), (2, 1, 0));
        assert_eq!((counted.delivered, counted.redelivered), (6, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_no_backlog_and_its_readers_are_consumers() {
    in_time(async {
        let cluster = Cluster::of(1).await;
        let mut client = cluster.client(0).await;
        let log = QueueDeclaration { log: Some(Default::default()), ..queue("log") };
        client.session.declare_queue(log).await.unwrap();
        client.publish("log", "a").await;
        client.all_confirmed().await;
        let consumer = client.session.subscribe(reading("log", 10, Some(LogPosition::First))).await.unwrap();
        client.receive(1).await;
        let figures = cluster.node(0).statistics();
        assert_eq!((figures.queues.queues, figures.queues.ready), (0, 0));
        assert_eq!((figures.queues.logs, figures.queues.log_messages), (1, 1));
        assert_eq!((figures.consumers, figures.messages.delivered), (1, 1));
        client.session.cancel(consumer).await;
        assert_eq!(cluster.node(0).statistics().consumers, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_are_told_one_by_one_up_to_a_limit_and_not_those_of_one_connection() {
    in_time(async {
        let cluster = Cluster::of(1).await;
        let mut client = cluster.client(0).await;
        for name in ["a1", "a2", "a3", "b1"] {
            client.declare(name).await;
        }
        client.session.declare_queue(QueueDeclaration { exclusive: true, ..queue("a0") }).await.unwrap();
        client.publish("a2", "x").await;
        client.all_confirmed().await;
        let names = |objects: &ferrymq_broker::Objects| {
            objects.queues.iter().map(|queue| (queue.name.clone(), queue.ready)).collect::<Vec<_>>()
        };
        let some = cluster.node(0).objects("a", 2);
        assert_eq!((names(&some), some.left_out), (vec![("a1".to_owned(), 0), ("a2".to_owned(), 1)], 1));
        let all = cluster.node(0).objects("", 100);
        assert_eq!((names(&all).len(), all.left_out), (4, 0));
        assert!(all.shards.iter().any(|shard| shard.shard == 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_is_gone_is_out_of_sync_and_a_lost_majority_makes_shards_unavailable() {
    in_time(async {
        let mut cluster = Cluster::of(3).await;
        cluster.all_healthy().await;
        let sum = |cluster: &Cluster, of: fn(&Statistics) -> u64| {
            cluster.nodes.iter().flatten().map(|node| of(&node.statistics())).sum::<u64>()
        };
        assert_eq!(sum(&cluster, |figures| figures.shards.out_of_sync + figures.shards.unavailable), 0);
        assert_eq!(sum(&cluster, |figures| u64::from(figures.leads_catalogue)), 1);
        assert!(sum(&cluster, |figures| figures.shards.elections_won) > 0);
        cluster.stop(2).await;
        until("mirrors are out of sync", || sum(&cluster, |figures| figures.shards.out_of_sync) > 0).await;
        until("the node is out of reach", || sum(&cluster, |figures| figures.peers_unreachable) == 2).await;
        until("others lead", || sum(&cluster, |figures| figures.shards.unavailable) == 0).await;
        cluster.stop(1).await;
        until("no majority is left", || sum(&cluster, |figures| figures.shards.unavailable) > 0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_a_shortage_show() {
    in_time(async {
        let cluster = Cluster::of(1).await;
        let wrong = cluster.node(0).authenticate(login("guest", "wrong", [127, 0, 0, 1].into())).await;
        assert!(wrong.is_err());
        assert_eq!(cluster.node(0).statistics().logins_refused, 1);
        cluster.memory.store(1 << 30, Ordering::Relaxed);
        until("publishers wait", || cluster.node(0).statistics().publishers_blocked).await;
        let figures = cluster.node(0).statistics();
        assert!(figures.short_of_memory && !figures.short_of_disk && figures.serves);
        assert_eq!((figures.memory_used, figures.memory_high_water), (1 << 30, 64 << 20));
    })
    .await;
}
