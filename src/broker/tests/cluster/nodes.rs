//! Nodes that stop, lose their data, and come again.

use std::time::Duration;

use ferrymq_broker::{FormError, Node};
use tokio::net::TcpListener;

use crate::{Archives, Cluster, SEGMENT_BYTES, bodies, in_time, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_confirmed_survives_the_restart_of_every_node() {
    in_time(async {
        let mut cluster = Cluster::of(3).await;
        let mut publisher = cluster.client(2).await;
        publisher.declare("q").await;
        for number in 0..100 {
            publisher.publish("q", &number.to_string()).await;
        }
        publisher.all_confirmed().await;
        drop(publisher);
        for ordinal in 0..3 {
            cluster.stop(ordinal).await;
        }
        for ordinal in 0..3 {
            cluster.start(ordinal).await;
        }
        cluster.all_serve().await;
        let mut consumer = cluster.client(0).await;
        consumer.consume("q", 0).await;
        let got = consumer.receive(100).await;
        assert_eq!(bodies(&got), (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_is_missed_by_nobody_and_nothing_is_lost_or_twice() {
    in_time(async {
        let mut cluster = Cluster::of(3).await;
        let mut publisher = cluster.client(0).await;
        let mut consumer = cluster.client(0).await;
        for name in ["a", "b", "c", "d", "e", "f"] {
            publisher.declare(name).await;
            consumer.consume(name, 100).await;
        }
        for round in 0..3 {
            for number in 0..60 {
                publisher.publish(["a", "b", "c", "d", "e", "f"][number % 6], &format!("{round}-{number}")).await;
                if number == 30 && round == 1 {
                    cluster.stop(1).await;
                }
            }
        }
        publisher.all_confirmed().await;
        let got = consumer.receive(180).await;
        consumer.accept(&got);
        let mut bodies = bodies(&got);
        bodies.sort();
        bodies.dedup();
        assert_eq!(bodies.len(), 180);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lost_its_data_comes_back_as_a_new_one_and_the_others_may_then_stop() {
    in_time(async {
        let mut cluster = Cluster::of(3).await;
        let mut publisher = cluster.client(0).await;
        publisher.declare("q").await;
        for number in 0..50 {
            publisher.publish("q", &number.to_string()).await;
        }
        publisher.all_confirmed().await;
        drop(publisher);
        cluster.lose_data(1).await;
        cluster.start(1).await;
        until("the node is taken in", || cluster.node(1).membership().is_some()).await;
        cluster.all_serve().await;
        cluster.all_healthy().await;
        assert_eq!(cluster.node(1).membership().unwrap().1, 4);
        for ordinal in [0, 2] {
            cluster.stop(ordinal).await;
            cluster.start(ordinal).await;
            cluster.all_serve().await;
            cluster.all_healthy().await;
        }
        let mut consumer = cluster.client(1).await;
        consumer.consume("q", 0).await;
        assert_eq!(consumer.receive(50).await.len(), 50);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_gone_again_before_it_was_filled_keeps_nobody_waiting() {
    in_time(async {
        let mut cluster = Cluster::of(3).await;
        cluster.client(0).await.declare("a").await;
        cluster.lose_data(2).await;
        // It is taken in, and listens where none of the others looks for it.
        let elsewhere = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        cluster.nodes[2] = Some(Node::start(cluster.settings(2), elsewhere).await.unwrap());
        until("it is taken in", || cluster.node(2).membership().is_some()).await;
        let (_, never_filled) = cluster.node(2).membership().unwrap();
        let is_placed_everywhere = async || {
            let view = cluster.node(0).cluster().await.unwrap();
            view.shards.iter().all(|shard| shard.placed_on.contains(&never_filled))
        };
        while !is_placed_everywhere().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cluster.lose_data(2).await;
        cluster.start(2).await;
        cluster.all_serve().await;
        cluster.all_healthy().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_forms_without_a_minority_which_comes_in_later_with_its_data_or_without() {
    in_time(async {
        for loses_data in [false, true] {
            let mut cluster = Cluster::unformed(3, SEGMENT_BYTES, Archives::default()).await;
            let formation = cluster.formation();
            cluster.stop(1).await;
            cluster.stop(2).await;
            let refused = cluster.node(0).form(formation.clone()).await;
            assert!(matches!(refused, Err(FormError::Member { ordinal: 1, .. })), "{refused:?}");
            cluster.start(1).await;
            cluster.node(0).form(formation.clone()).await.unwrap();
            cluster.all_serve().await;
            if loses_data {
                cluster.remove_data(2);
            }
            cluster.start(2).await;
            until("the node is taken in", || cluster.node(2).membership().is_some()).await;
            cluster.all_serve().await;
            cluster.all_healthy().await;
            assert_eq!(cluster.node(2).membership().unwrap().1, if loses_data { 4 } else { 3 });
            cluster.node(1).form(formation).await.unwrap();
        }
    })
    .await;
}
