//! Nodes that are emptied, come back, or go.

use std::{collections::BTreeSet, time::Duration};

use ferrymq_broker::{ClusterView, NodeView, PlacementRefusal};

use crate::{Client, Cluster, in_time};

const QUEUES: [&str; 4] = ["a", "b", "c", "d"];

impl Cluster {
    async fn view(&self, ordinal: usize) -> ClusterView {
        loop {
            if let Ok(view) = self.node(ordinal).cluster().await {
                return view;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the cluster says of a node.
    async fn seen(&self, ordinal: u32) -> Option<NodeView> {
        self.view(0).await.nodes.into_iter().find(|node| node.ordinal == ordinal)
    }

    async fn emptied(&self, ordinal: u32) {
        while self.seen(ordinal).await.unwrap().replicas > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.all_healthy().await;
    }

    /// Bytes of a node's journal.
    fn journal_bytes(&self, ordinal: usize) -> u64 {
        let files = std::fs::read_dir(self.directory.path().join(ordinal.to_string()).join("journal")).unwrap();
        // A file may go while they are counted.
        files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum()
    }

    fn snapshots(&self, ordinal: usize) -> BTreeSet<String> {
        let files = std::fs::read_dir(self.directory.path().join(ordinal.to_string()).join("snapshots")).unwrap();
        files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }
}

async fn filled(cluster: &Cluster, messages: usize) -> Client {
    let mut publisher = cluster.client(3).await;
    for queue in QUEUES {
        publisher.declare(queue).await;
    }
    for number in 0..messages {
        publisher.publish(QUEUES[number % 4], &format!("{number} {}", "x".repeat(20_000))).await;
        // What is committed together must fit in a segment.
        if number % 20 == 0 {
            publisher.all_confirmed().await;
        }
    }
    publisher.all_confirmed().await;
    publisher
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_emptied_holds_nothing_on_its_disk_and_can_go_and_all_messages_stay() {
    in_time(async {
        let mut cluster = Cluster::with_segments(4, 1 << 20).await;
        let publisher = filled(&cluster, 800).await;
        assert_eq!(cluster.node(0).drain(9, true).await, Err(PlacementRefusal::NotFound { ordinal: 9 }));
        let refused = cluster.node(0).remove_node(3).await.unwrap_err();
        assert!(refused.to_string().contains("still holds 9 shards"), "{refused}");

        let full = cluster.journal_bytes(3);
        cluster.node(0).drain(3, true).await.unwrap();
        cluster.emptied(3).await;
        // A client of a node that is being emptied goes on.
        drop(publisher);
        let mut publisher = cluster.client(3).await;
        publisher.publish("a", "after").await;
        publisher.all_confirmed().await;
        // It lets go of what others have.
        while cluster.snapshots(3).iter().any(|name| name != "0.snapshot") || cluster.journal_bytes(3) > full / 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }

        cluster.node(0).remove_node(3).await.unwrap();
        while cluster.seen(3).await.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cluster.stop(3).await;
        cluster.all_healthy().await;
        assert_eq!(cluster.client(1).await.take_all(&QUEUES, 801).await.len(), 801);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_emptied_and_filled_again_while_others_restart_and_nothing_is_lost() {
    in_time(async {
        let mut cluster = Cluster::with_segments(4, 1 << 20).await;
        drop(filled(&cluster, 120).await);
        for _ in 0..2 {
            cluster.node(0).drain(3, true).await.unwrap();
            cluster.stop(3).await;
            cluster.start(3).await;
            cluster.all_serve().await;
            cluster.emptied(3).await;
            cluster.node(3).drain(3, false).await.unwrap();
            cluster.stop(1).await;
            cluster.start(1).await;
            cluster.all_serve().await;
            cluster.all_healthy().await;
            assert_eq!(cluster.seen(3).await.unwrap().replicas, 9);
        }
        assert_eq!(cluster.client(2).await.take_all(&QUEUES, 120).await.len(), 120);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_not_emptied_where_mirrors_would_not_fit() {
    in_time(async {
        let cluster = Cluster::of(3).await;
        let refused = cluster.node(1).drain(2, true).await.unwrap_err();
        let PlacementRefusal::Refused(reason) = refused else { panic!("{refused}") };
        assert!(reason.contains("it holds queues with 3 mirrors"), "{reason}");
        assert!(!cluster.seen(2).await.unwrap().draining);
    })
    .await;
}
