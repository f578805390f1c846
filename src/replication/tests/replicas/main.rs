//! Three replicas in one process, on real disks, with a network that can be cut.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where something is not as it should be")]

mod archived;
mod memory;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    future::Future,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use ferrymq_journal::{Options, SystemDisk};
use ferrymq_replication::{Group, GroupId, Lane, NodeId, Store, Timing, Transport, TransportError};
use memory::{Memory, words_of};
use tempfile::TempDir;

#[derive(Default)]
struct Wire {
    groups: Mutex<HashMap<NodeId, Arc<Group<Memory>>>>,
    stores: Mutex<HashMap<NodeId, Arc<Store>>>,
    cut: Mutex<HashSet<NodeId>>,
}

struct From {
    node: NodeId,
    wire: Arc<Wire>,
}

impl Transport for From {
    fn call(
        &self,
        target: NodeId,
        _lane: Lane,
        _group: GroupId,
        request: Bytes,
        timeout: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<Bytes, TransportError>> + Send + '_>> {
        Box::pin(async move {
            let cut = [self.node, target].iter().any(|node| self.wire.cut.lock().unwrap().contains(node));
            let group = self.wire.groups.lock().unwrap().get(&target).cloned().filter(|_| !cut);
            let Some(group) = group else {
                return Err(TransportError::Unreachable { node: target, reason: "cut".into() });
            };
            match tokio::time::timeout(timeout, group.handle(request)).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(reason)) => Err(TransportError::Failed { node: target, reason }),
                Err(_) => Err(TransportError::Failed { node: target, reason: "timeout".into() }),
            }
        })
    }
}

struct Cluster {
    wire: Arc<Wire>,
    directory: TempDir,
}

impl Cluster {
    async fn of_three() -> Self {
        let cluster = Self { wire: Arc::default(), directory: TempDir::new().unwrap() };
        for node in 1..=3 {
            cluster.start(node).await;
        }
        cluster.group(1).initialize(BTreeSet::from([1, 2, 3])).await.unwrap();
        cluster
    }

    async fn start(&self, node: NodeId) {
        let directory = self.directory.path().join(node.to_string());
        let (group, store) = open(node, &directory, self.wire.clone()).await;
        self.wire.stores.lock().unwrap().insert(node, store);
        self.wire.groups.lock().unwrap().insert(node, group);
    }

    async fn stop(&self, node: NodeId) {
        let group = self.wire.groups.lock().unwrap().remove(&node).unwrap();
        group.stop().await;
        self.wire.stores.lock().unwrap().remove(&node).unwrap().close();
    }

    /// Starts a node again of which the group is stopped already.
    async fn reopen(&self, node: NodeId) {
        let gone = self.wire.stores.lock().unwrap().remove(&node).unwrap();
        gone.close();
        drop(gone);
        self.start(node).await;
    }

    async fn reconfigure(&self, voters: &BTreeSet<NodeId>) {
        while self.leader().await.reconfigure(voters).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    /// Ends a replica that is no member any more, and its data. Its store stays open.
    async fn forget(&self, node: NodeId) {
        let group = self.wire.groups.lock().unwrap().remove(&node).unwrap();
        group.stop().await;
        group.forget().await.unwrap();
    }

    async fn upkeep(&self, node: NodeId) {
        let store = self.wire.stores.lock().unwrap().get(&node).unwrap().clone();
        self.group(node).upkeep(store.clean_before()).await.unwrap();
    }

    fn journal_bytes(&self, node: NodeId) -> u64 {
        let files = std::fs::read_dir(self.directory.path().join(node.to_string()).join("journal")).unwrap();
        // A file may go while they are counted.
        files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum()
    }

    fn group(&self, node: NodeId) -> Arc<Group<Memory>> {
        self.wire.groups.lock().unwrap().get(&node).unwrap().clone()
    }

    async fn leader(&self) -> Arc<Group<Memory>> {
        loop {
            let groups: Vec<_> = self.wire.groups.lock().unwrap().values().cloned().collect();
            let cut = self.wire.cut.lock().unwrap().clone();
            for group in groups {
                let now = *group.leadership().borrow();
                if now.leading && now.leader.is_some_and(|leader| !cut.contains(&leader)) {
                    return group;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    async fn say(&self, word: &str) {
        loop {
            let leader = self.leader().await;
            if let Ok(pending) = leader.propose(Bytes::from(word.to_owned())).await
                && pending.applied().await.is_ok()
            {
                return;
            }
        }
    }

    async fn all_have(&self, words: &[&str]) {
        let words: Vec<Bytes> = words.iter().map(|word| Bytes::from((*word).to_owned())).collect();
        loop {
            let groups: Vec<_> = self.wire.groups.lock().unwrap().values().cloned().collect();
            if groups.iter().all(|group| words_of(group).as_ref() == Some(&words)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

async fn open(node: NodeId, directory: &Path, wire: Arc<Wire>) -> (Arc<Group<Memory>>, Arc<Store>) {
    open_with(node, directory, wire, |_| ()).await
}

async fn open_with(
    node: NodeId,
    directory: &Path,
    wire: Arc<Wire>,
    prepare: impl FnOnce(&Store),
) -> (Arc<Group<Memory>>, Arc<Store>) {
    let options = Options { segment_bytes: 1 << 20, ..Options::default() };
    let store = Arc::new(Store::open(Arc::new(SystemDisk), directory.to_path_buf(), options).unwrap());
    prepare(&store);
    let transport = Arc::new(From { node, wire });
    let machine = Arc::new(Mutex::new(Memory::default()));
    (Group::open(7, node, store.clone(), transport, machine, Timing::default()).await.unwrap(), store)
}

async fn in_time<T>(story: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), story).await.expect("the story ends in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_is_known_to_all() {
    in_time(async {
        let cluster = Cluster::of_three().await;
        cluster.say("a").await;
        cluster.say("b").await;
        cluster.all_have(&["a", "b"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_leader_is_cut_off_another_leads_and_nothing_is_lost() {
    in_time(async {
        let cluster = Cluster::of_three().await;
        cluster.say("a").await;
        let old = cluster.leader().await.view().leadership.leader.unwrap();
        cluster.wire.cut.lock().unwrap().insert(old);
        cluster.say("b").await;
        cluster.wire.cut.lock().unwrap().clear();
        cluster.all_have(&["a", "b"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_stopped_remembers_and_catches_up() {
    in_time(async {
        let cluster = Cluster::of_three().await;
        cluster.say("a").await;
        let leader = cluster.leader().await.view().leadership.leader.unwrap();
        cluster.stop(leader).await;
        cluster.say("b").await;
        cluster.start(leader).await;
        assert!(!cluster.group(leader).is_pristine());
        cluster.all_have(&["a", "b"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_stopped_leads_again_only_in_a_new_term() {
    in_time(async {
        let cluster = Cluster::of_three().await;
        cluster.say("a").await;
        let before = cluster.leader().await.view().leadership.term;
        for node in 1..=3 {
            cluster.stop(node).await;
        }
        for node in 1..=3 {
            cluster.start(node).await;
        }
        assert!(cluster.leader().await.view().leadership.term > before);
        cluster.all_have(&["a"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_takes_the_place_of_one_that_is_gone() {
    in_time(async {
        let cluster = Cluster::of_three().await;
        cluster.say("a").await;
        cluster.say("b").await;
        let leader = cluster.leader().await.view().leadership.leader.unwrap();
        let gone = (1..=3).find(|node| *node != leader).unwrap();
        cluster.stop(gone).await;
        cluster.start(4).await;
        let voters: BTreeSet<NodeId> = (1..=4).filter(|node| *node != gone).collect();
        cluster.reconfigure(&voters).await;
        cluster.all_have(&["a", "b"]).await;
        assert_eq!(cluster.leader().await.view().voters, voters);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_cut_to_a_snapshot_fills_a_new_node_and_survives_a_restart() {
    in_time(async {
        let cluster = Cluster::of_three().await;
        let big = "x".repeat(400_000);
        let mut words = Vec::new();
        for _ in 0..150 {
            cluster.say(&big).await;
            words.push(big.as_str());
            for node in 1..=3 {
                cluster.upkeep(node).await;
            }
        }
        cluster.all_have(&words).await;
        for node in 1..=3 {
            cluster.stop(node).await;
            cluster.start(node).await;
        }
        cluster.say("last").await;
        words.push("last");
        cluster.start(4).await;
        let voters = BTreeSet::from([1, 2, 3, 4]);
        cluster.reconfigure(&voters).await;
        cluster.all_have(&words).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_needed_of_old_segments_is_written_again_so_that_the_rest_can_go() {
    in_time(async {
        let cluster = Cluster::of_three().await;
        cluster.say("stays").await;
        let big = "x".repeat(300_000);
        for _ in 0..60 {
            cluster.say(&big).await;
        }
        // All but the first word is forgotten, again and again.
        for _ in 0..60 {
            cluster.say("-").await;
            cluster.say(&big).await;
        }
        for _ in 0..60 {
            cluster.say("-").await;
        }
        cluster.say("last").await;
        for node in 1..=3 {
            let full = cluster.journal_bytes(node);
            while cluster.journal_bytes(node) > 12 << 20 {
                cluster.upkeep(node).await;
            }
            assert!(full > 30 << 20);
            cluster.stop(node).await;
            cluster.start(node).await;
        }
        cluster.all_have(&["stays", "last"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_to_whom_it_is_offered() {
    in_time(async {
        let cluster = Cluster::of_three().await;
        cluster.say("a").await;
        let leader = cluster.leader().await;
        let from = leader.view().leadership.leader.unwrap();
        let to = (1..=3).find(|node| *node != from).unwrap();
        leader.transfer_leadership(to).await;
        while !cluster.group(to).leadership().borrow().leading {
            tokio::task::yield_now().await;
        }
        cluster.say("b").await;
        cluster.all_have(&["a", "b"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_left_forgets_all_and_is_filled_again_where_it_is_wanted_again() {
    in_time(async {
        let cluster = Cluster::of_three().await;
        let big = "x".repeat(400_000);
        let mut words = vec![big.as_str(); 20];
        for word in &words {
            cluster.say(word).await;
            for node in 1..=3 {
                cluster.upkeep(node).await;
            }
        }
        cluster.all_have(&words).await;
        let leader = cluster.leader().await;
        let leaves = (1..=3).find(|node| Some(*node) != leader.view().leadership.leader).unwrap();
        cluster.start(4).await;
        let others: BTreeSet<NodeId> = (1..=4).filter(|node| *node != leaves).collect();
        cluster.reconfigure(&others).await;
        while !cluster.leader().await.has_left(leaves) {
            tokio::task::yield_now().await;
        }
        assert!(others.iter().all(|node| !leader.has_left(*node)));

        cluster.forget(leaves).await;
        let holds = |node| cluster.wire.stores.lock().unwrap().get(&node).unwrap().holds(7);
        assert!(!holds(leaves) && holds(4));
        // Also after a restart; and what it was once is not forgotten.
        cluster.reopen(leaves).await;
        assert!(words_of(&cluster.group(leaves)).is_some_and(|words| words.is_empty()));
        assert!(!cluster.group(leaves).is_pristine());

        cluster.say("last").await;
        words.push("last");
        cluster.reconfigure(&BTreeSet::from([1, 2, 3, 4])).await;
        cluster.all_have(&words).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_forgot_votes_for_nobody_who_has_less_than_it_had() {
    in_time(async {
        let cluster = Cluster::of_three().await;
        cluster.say("a").await;
        let leader = cluster.leader().await.view().leadership.leader.unwrap();
        let [leaves, behind] = [1, 2, 3].into_iter().filter(|node| *node != leader).collect::<Vec<_>>()[..] else {
            panic!("three nodes")
        };
        cluster.all_have(&["a"]).await;
        cluster.wire.cut.lock().unwrap().insert(behind);
        // Confirmed by the leader and by the one that leaves, alone.
        cluster.say("b").await;
        cluster.start(4).await;
        cluster.reconfigure(&BTreeSet::from([leader, behind, 4])).await;
        cluster.forget(leaves).await;
        cluster.reopen(leaves).await;

        // Now only those two reach each other: a majority of what the one that is behind takes for its cluster.
        *cluster.wire.cut.lock().unwrap() = HashSet::from([leader, 4]);
        assert!(tokio::time::timeout(Duration::from_secs(4), cluster.leader()).await.is_err());
        cluster.wire.cut.lock().unwrap().clear();
        cluster.say("c").await;
        cluster.reconfigure(&BTreeSet::from([1, 2, 3, 4])).await;
        cluster.all_have(&["a", "b", "c"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_cannot_be_written_ends_the_node() {
    in_time(async {
        let cluster = Cluster::of_three().await;
        std::fs::remove_dir_all(cluster.directory.path().join("1/snapshots")).unwrap();
        let mut failure = cluster.wire.stores.lock().unwrap().get(&1).unwrap().failure();
        let big = "x".repeat(400_000);
        for _ in 0..100 {
            cluster.say(&big).await;
            // Its replica stops, which is told in its own way.
            let store = cluster.wire.stores.lock().unwrap().get(&1).unwrap().clone();
            let _ = cluster.group(1).upkeep(store.clean_before()).await;
            if failure.borrow().is_some() {
                break;
            }
        }
        let told = failure.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        assert!(told.contains("cannot be written"), "{told}");
    })
    .await;
}
