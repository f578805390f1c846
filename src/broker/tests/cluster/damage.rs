//! Bits that flip on one of three nodes: found, filled anew by the others, nothing lost, nothing served wrong.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ferrymq_broker::StartError;
use ferrymq_journal::{Journal, Options, Position, SystemDisk};
use tokio::net::TcpListener;

use crate::{Cluster, bodies, in_time, until};

/// The node that is damaged.
const VICTIM: usize = 1;
const QUEUES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const MESSAGES: usize = 144;

/// The kind of a vote in a group's log.
const VOTE: u8 = 2;

fn body(number: usize) -> String {
    format!("{number} {}", "x".repeat(50_000))
}

/// A cluster with a backlog of some segments in six queues, so that every node leads some of it.
async fn with_backlog() -> (Cluster, BTreeSet<String>) {
    let cluster = Cluster::with_segments(3, 1 << 20).await;
    let mut publisher = cluster.client(0).await;
    for queue in QUEUES {
        publisher.declare(queue).await;
    }
    for number in 0..MESSAGES {
        publisher.publish(QUEUES[number % QUEUES.len()], &body(number)).await;
        if number % QUEUES.len() == 0 {
            publisher.all_confirmed().await;
        }
    }
    publisher.all_confirmed().await;
    cluster.all_healthy().await;
    (cluster, (0..MESSAGES).map(body).collect())
}

impl Cluster {
    fn data(&self, ordinal: usize) -> PathBuf {
        self.directory.path().join(ordinal.to_string())
    }

    /// Records of a node that is stopped: kind and place.
    fn records(&self, ordinal: usize) -> Vec<(u8, Position)> {
        let (mut records, journal) = (Vec::new(), self.data(ordinal).join("journal"));
        Journal::open(Arc::new(SystemDisk), &journal, Options::default(), &mut |head| {
            records.push((head.kind, head.position));
            Ok(())
        })
        .unwrap();
        records
    }

    fn segment(&self, ordinal: usize, position: Position) -> PathBuf {
        self.data(ordinal).join(format!("journal/{:020}.journal", position.segment))
    }

    /// The files of a folder of a node's data whose names end so.
    fn files(&self, ordinal: usize, folder: &str, end: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.data(ordinal).join(folder)) else { return Vec::new() };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.to_string_lossy().ends_with(end));
        paths.sort();
        paths
    }

    fn sets(&self, ordinal: usize) -> usize {
        let entries = fs::read_dir(self.data(ordinal)).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("damaged-")).count()
    }

    fn number(&self, ordinal: usize) -> u64 {
        self.node(ordinal).membership().map_or(0, |(_, number)| number)
    }

    /// The process of the victim ends where damage was found, and is started again: as a new node, which is filled.
    async fn restarted_when_damaged(&mut self, before: u64) {
        let mut failure = self.node(VICTIM).failure();
        let found = failure.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        assert!(found.contains("damaged at byte"), "{found}");
        self.stop(VICTIM).await;
        self.start(VICTIM).await;
        let (_, told) = self.node(VICTIM).phase();
        assert!(told.starts_with("its data was damaged"), "{told}");
        self.filled(VICTIM).await;
        assert!(self.number(VICTIM) > before);
    }

    /// Every shard is led by the victim: what is handed out is read from its disk.
    async fn victim_leads_all(&self) {
        let victim = self.number(VICTIM);
        self.all_healthy().await;
        loop {
            // Again and again: a shard that one of them has given away may come to the other before it comes to the victim.
            for ordinal in [0, 2] {
                self.node(ordinal).hand_over().await;
            }
            let view = self.node(0).cluster().await.unwrap();
            if view.shards.iter().all(|shard| shard.leader == Some(victim)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn filled(&self, ordinal: usize) {
        until("the node is taken in", || self.node(ordinal).membership().is_some()).await;
        self.all_serve().await;
        self.all_healthy().await;
    }
}

fn flip(path: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 4], offset).unwrap();
    file.sync_all().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_a_start_finds_is_set_aside_and_the_node_is_filled_anew() {
    in_time(async {
        let (mut cluster, expected) = with_backlog().await;
        until("there is a snapshot", || !cluster.files(VICTIM, "snapshots", ".snapshot").is_empty()).await;
        let regions = ["segment header", "record header", "payload", "vote", "snapshot", "identity"];
        for (round, region) in regions.iter().enumerate() {
            until("there is a snapshot", || {
                *region != "snapshot" || !cluster.files(VICTIM, "snapshots", ".snapshot").is_empty()
            })
            .await;
            let before = cluster.number(VICTIM);
            cluster.stop(VICTIM).await;
            let records = cluster.records(VICTIM);
            let last = cluster.segment(VICTIM, records.last().unwrap().1);
            let (path, offset) = match *region {
                "segment header" => (cluster.segment(VICTIM, records[0].1), 20),
                "record header" => (last, 64 + 2),
                "payload" => (last, 64 + 36 + 3),
                "vote" => {
                    let (_, vote) = records.iter().rfind(|(kind, _)| *kind == VOTE).unwrap();
                    // Where there is an index, the vote is read from that, and is right.
                    cluster.files(VICTIM, "journal", ".index").iter().for_each(|index| fs::remove_file(index).unwrap());
                    (cluster.segment(VICTIM, *vote), vote.offset + 36)
                }
                "snapshot" => (cluster.files(VICTIM, "snapshots", ".snapshot")[0].clone(), 30),
                _ => (cluster.data(VICTIM).join("node.json"), 60),
            };
            flip(&path, offset);
            cluster.start(VICTIM).await;
            let (_, told) = cluster.node(VICTIM).phase();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(told.starts_with("its data was damaged") && told.contains(&name), "{region}: {told}");
            cluster.filled(VICTIM).await;
            assert!(cluster.number(VICTIM) > before, "{region}: the number with the lost votes is not used again");
            assert_eq!(cluster.sets(VICTIM).min(1), 1, "{region}, round {round}");
        }
        until("what was set aside before the last time is gone", || cluster.sets(VICTIM) == 1).await;
        until("nothing is said of it any more", || !cluster.node(VICTIM).phase().1.contains("damaged")).await;
        // All that is there is on the node that was filled: it takes part in every majority.
        cluster.stop(0).await;
        assert_eq!(cluster.client(VICTIM).await.take_all(&QUEUES, MESSAGES).await, expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_index_costs_nothing_and_damage_behind_indexes_is_found_by_what_reads_it() {
    in_time(async {
        let (mut cluster, expected) = with_backlog().await;
        until("segments have indexes", || cluster.files(VICTIM, "journal", ".index").len() > 3).await;
        let before = cluster.number(VICTIM);
        cluster.stop(VICTIM).await;
        let index = cluster.files(VICTIM, "journal", ".index").remove(0);
        let written = fs::read(&index).unwrap();
        flip(&index, 70);
        cluster.start(VICTIM).await;
        cluster.all_serve().await;
        assert_eq!((cluster.number(VICTIM), cluster.sets(VICTIM)), (before, 0));
        until("the index is written again", || fs::read(&index).unwrap() == written).await;
        cluster.stop(VICTIM).await;
        // All messages in segments that are opened by their indexes: who reads them first finds it, a shard that starts or
        // one that hands them out.
        let indexes = cluster.files(VICTIM, "journal", ".index");
        for (_, at) in cluster.records(VICTIM) {
            let segment = cluster.segment(VICTIM, at);
            if at.length > 40_000 && indexes.contains(&segment.with_extension("index")) {
                flip(&segment, at.offset + 36 + 20_000);
            }
        }
        cluster.start(VICTIM).await;
        assert_eq!(cluster.sets(VICTIM), 0);
        let mut failure = cluster.node(VICTIM).failure();
        tokio::select! {
            () = cluster.victim_leads_all() => {}
            found = failure.wait_for(Option::is_some) => assert!(found.is_ok()),
        }
        let mut client = cluster.client(0).await;
        let (got, ()) = tokio::join!(client.take_all(&QUEUES, MESSAGES), cluster.restarted_when_damaged(before));
        assert_eq!(got, expected);
    })
    .await;
}

/// More than what is kept in memory, so that the leader reads the damage to hand it out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_on_a_leader_that_runs_is_never_served() {
    const MESSAGES: usize = 240;
    in_time(async {
        let mut cluster = Cluster::with_segments(3, 1 << 20).await;
        let mut client = cluster.client(0).await;
        client.declare("a").await;
        for number in 0..MESSAGES {
            client.publish("a", &body(number)).await;
            if number % 10 == 9 {
                client.all_confirmed().await;
            }
        }
        cluster.all_healthy().await;
        let before = cluster.number(VICTIM);
        cluster.victim_leads_all().await;
        // Every segment but the last few, of the file that is open: wherever in them a message lies, it is damaged.
        let segments = cluster.files(VICTIM, "journal", ".journal");
        for path in segments.iter().take(segments.len() - 2) {
            for offset in (30_000..1 << 20).step_by(30_000) {
                flip(path, offset);
            }
        }
        let (got, ()) = tokio::join!(client.take_all(&["a"], MESSAGES), cluster.restarted_when_damaged(before));
        assert_eq!(got, (0..MESSAGES).map(body).collect());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_broker_with_damaged_data_does_not_start_and_says_what_to_do() {
    in_time(async {
        let mut cluster = Cluster::of(1).await;
        let mut client = cluster.client(0).await;
        client.declare("q").await;
        client.publish("q", "kept").await;
        client.all_confirmed().await;
        drop(client);
        cluster.stop(0).await;
        let first = cluster.records(0)[0].1;
        let path = cluster.segment(0, first);
        flip(&path, first.offset + 37);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refused = ferrymq_broker::Node::start(cluster.settings(0), listener).await.map(|_| ()).unwrap_err();
        let told = refused.to_string();
        assert!(matches!(refused, StartError::Damaged { .. }), "{told}");
        for part in ["byte 64 of journal/00000000000000000001.journal", "ferrymq ctl journal verify", "restore"] {
            assert!(told.contains(part), "{told}");
        }
        flip(&path, first.offset + 37);
        cluster.start(0).await;
        cluster.all_serve().await;
        let mut client = cluster.client(0).await;
        client.consume("q", 1).await;
        assert_eq!(bodies(&client.receive(1).await), ["kept"]);
    })
    .await;
}
