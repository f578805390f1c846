//! One replica of one shard, and all that may be asked of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::{Bytes, BytesMut};
use ferrymq_wire::Reader;
use openraft::{
    ChangeMembers, Config, EmptyNode, Raft, RaftMetrics, ServerState, SnapshotPolicy,
    impls::ProgressResponder,
    raft::ClientWriteResult,
    type_config::{
        alias::OneshotReceiverOf,
        async_runtime::{instant::Instant as _, watch::WatchReceiver},
    },
};
use tokio::sync::watch;

use crate::{
    codec,
    log::GroupLog,
    machine::{Host, Machine, lock},
    network::{self, Network, Transport},
    snapshot::SnapshotFile,
    store::Store,
    types::{Command, GroupId, NodeId, Snapshot, Types},
};

/// A log may grow by this much, or by as much as its last snapshot has, before the next snapshot is made.
const SNAPSHOT_AFTER_BYTES: u64 = 32 << 20;
/// A group that holds a segment this many behind the newest is made to let go of it.
const SEGMENTS_HELD: u64 = 4;
/// Entries kept behind a snapshot, for followers that are a little behind.
const ENTRIES_KEPT: u64 = 128;
/// How far behind a replica may be, in entries, and still count as in sync.
const IN_SYNC_WITHIN: u64 = 64;
/// The most bytes of a snapshot that are taken from another node.
const MAX_SNAPSHOT_BYTES: usize = 16 << 30;

/// How quickly a group notices that its leader is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How often a leader tells that it is there.
    pub heartbeat: Duration,
    /// The least and the most time without it after which a replica wants to lead itself.
    pub election: (Duration, Duration),
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(100),
            election: (Duration::from_millis(300), Duration::from_millis(450)),
        }
    }
}

/// Who leads, as far as this replica knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leadership {
    /// The term.
    pub term: u64,
    /// The leader.
    pub leader: Option<NodeId>,
    /// This replica is the leader, and has applied an entry of its own term: its machine has all that was committed.
    pub leading: bool,
}

/// What a replica knows of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// Who leads.
    pub leadership: Leadership,
    /// Who votes.
    pub voters: BTreeSet<NodeId>,
    /// Who is being filled.
    pub learners: BTreeSet<NodeId>,
    /// Index of the last entry that the machine has applied.
    pub applied: u64,
    /// On the leader: the voters that have all that is committed, or nearly.
    pub in_sync: BTreeSet<NodeId>,
    /// The group stopped for good: its disk failed.
    pub failed: bool,
}

/// Why a command was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another node leads, or none. It is not known whether the command takes effect: it may, where its entry was
    /// already under way.
    #[error("another replica leads this shard")]
    NotLeader,
    /// The group has stopped.
    #[error("this replica has stopped: {0}")]
    Stopped(String),
}

/// Why the members of a group were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot change the members of shard {group}: {reason}")]
pub struct ReconfigureError {
    group: GroupId,
    reason: String,
}

/// A command that was taken, and waits to be committed and applied here.
pub struct Pending(OneshotReceiverOf<Types, ClientWriteResult<Types>>);

impl Pending {
    /// Waits for the machine's answer.
    ///
    /// # Errors
    ///
    /// [`ProposeError`]: it is not known whether the command takes effect.
    pub async fn applied(self) -> Result<(u64, Bytes), ProposeError> {
        match self.0.await {
            Ok(Ok(response)) => Ok((response.log_id.index, response.data)),
            Ok(Err(_)) => Err(ProposeError::NotLeader),
            Err(_) => Err(ProposeError::Stopped("it was dropped".into())),
        }
    }
}

/// One replica of one shard.
pub struct Group<M: Machine> {
    id: GroupId,
    node: NodeId,
    raft: Raft<Types, Host<M>>,
    machine: Arc<Mutex<M>>,
    log: GroupLog,
    snapshot: SnapshotFile,
    store: Arc<Store>,
    leadership: watch::Receiver<Leadership>,
    /// A snapshot that comes in by pieces, and from which vote.
    incoming: Mutex<BytesMut>,
    /// Bytes that the log had taken when the last snapshot was made.
    snapshot_at: Mutex<u64>,
}

impl<M: Machine> Group<M> {
    /// Opens this node's replica of a group from its store.
    ///
    /// # Errors
    ///
    /// Its snapshot or log cannot be read.
    pub async fn open(
        id: GroupId,
        node: NodeId,
        store: Arc<Store>,
        transport: Arc<dyn Transport>,
        machine: Arc<Mutex<M>>,
        timing: Timing,
    ) -> io::Result<Arc<Self>> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let config = Config {
            cluster_name: format!("shard-{id}"),
            heartbeat_interval: millis(timing.heartbeat),
            election_timeout_min: millis(timing.election.0),
            election_timeout_max: millis(timing.election.1),
            enable_pre_vote: Some(true),
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: ENTRIES_KEPT,
            max_payload_entries: 64,
            replication_lag_threshold: u64::MAX,
            ..Config::default()
        };
        let config = Arc::new(config.validate().map_err(io::Error::other)?);
        let log = store.log(id);
        let snapshot = store.snapshot(id);
        let host = Host::new(machine.clone(), snapshot.clone())?;
        let network = Network { group: id, transport };
        let raft = Raft::new(node, config, network, log.clone(), host).await.map_err(io::Error::other)?;
        let (tell, leadership) = watch::channel(Leadership::default());
        let mut metrics = raft.metrics();
        tokio::spawn(async move {
            loop {
                let now = leadership_of(&metrics.borrow_and_update());
                tell.send_if_modified(|before| std::mem::replace(before, now) != now);
                if metrics.changed().await.is_err() || tell.is_closed() {
                    break;
                }
            }
        });
        let snapshot_at = Mutex::new(0);
        let incoming = Mutex::default();
        Ok(Arc::new(Self { id, node, raft, machine, log, snapshot, store, leadership, incoming, snapshot_at }))
    }

    /// The group's number.
    #[must_use]
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// The machine, locked; not to be held across anything that waits.
    pub fn machine(&self) -> MutexGuard<'_, M> {
        lock(&self.machine)
    }

    /// Who leads, now and from now on.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Whether this replica has never been part of a group: it has no log and no vote.
    #[must_use]
    pub fn is_pristine(&self) -> bool {
        self.log.index().is_pristine()
    }

    /// Makes the group begin, with these voters. Only a pristine replica can, and only for a group that was just made:
    /// one that lost its disk must never come here.
    ///
    /// # Errors
    ///
    /// [`ReconfigureError`] where it has begun already.
    pub async fn initialize(&self, voters: BTreeSet<NodeId>) -> Result<(), ReconfigureError> {
        self.raft.initialize(voters).await.map_err(|error| self.reconfigure_error(error))
    }

    /// Takes a command for the log; commands are committed in the order of these calls. Where this replica does not lead,
    /// [`Pending::applied`] says so.
    ///
    /// # Errors
    ///
    /// [`ProposeError::Stopped`].
    pub async fn propose(&self, command: Bytes) -> Result<Pending, ProposeError> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (responder, answer) = ProgressResponder::complete_only();
        let command = Command { time, bytes: command };
        match self.raft.client_write_ff(command, Some(responder)).await {
            Ok(()) => Ok(Pending(answer)),
            Err(error) => Err(ProposeError::Stopped(error.to_string())),
        }
    }

    /// What this replica knows of its group.
    #[must_use]
    pub fn view(&self) -> GroupView {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership().clone();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let last = metrics.last_log_index.unwrap_or(0);
        let mut in_sync = BTreeSet::new();
        if let Some(replication) = &metrics.replication {
            for (node, matched) in replication {
                let behind = last.saturating_sub(matched.map_or(0, |id| id.index));
                let heard = metrics
                    .heartbeat
                    .as_ref()
                    .and_then(|acks| acks.get(node).copied().flatten())
                    .is_some_and(|at| at.elapsed() < Duration::from_secs(2));
                if voters.contains(node) && (*node == self.node || (behind <= IN_SYNC_WITHIN && heard)) {
                    in_sync.insert(*node);
                }
            }
            in_sync.extend(voters.contains(&self.node).then_some(self.node));
        }
        GroupView {
            leadership: leadership_of(&metrics),
            learners: membership.learner_ids().collect(),
            applied: metrics.last_applied.map_or(0, |id| id.index),
            failed: metrics.running_state.is_err(),
            in_sync,
            voters,
        }
    }

    /// Makes these nodes the voters: those that are new are filled first, and vote when they have caught up. Takes as
    /// long as that takes; may be dropped and called again.
    ///
    /// # Errors
    ///
    /// [`ReconfigureError`]: this replica does not lead, or another change is under way.
    pub async fn reconfigure(&self, voters: &BTreeSet<NodeId>) -> Result<(), ReconfigureError> {
        let view = self.view();
        for new in voters.iter().filter(|node| !view.voters.contains(node)) {
            if !view.learners.contains(new) {
                let node = BTreeMap::from([(*new, EmptyNode {})]);
                self.raft
                    .change_membership(ChangeMembers::AddNodes(node), true)
                    .await
                    .map_err(|error| self.reconfigure_error(error))?;
            }
            self.wait_until_filled(*new).await?;
        }
        self.raft
            .change_membership(voters.clone(), false)
            .await
            .map(|_| ())
            .map_err(|error| self.reconfigure_error(error))
    }

    async fn wait_until_filled(&self, node: NodeId) -> Result<(), ReconfigureError> {
        let mut metrics = self.raft.metrics();
        loop {
            {
                let now = metrics.borrow_and_update();
                let Some(replication) = &now.replication else {
                    return Err(self.reconfigure_error("this replica leads no more"));
                };
                let matched = replication.get(&node).copied().flatten().map_or(0, |id| id.index);
                if matched + IN_SYNC_WITHIN >= now.last_log_index.unwrap_or(0) && matched > 0 {
                    return Ok(());
                }
            }
            metrics.changed().await.map_err(|error| self.reconfigure_error(error))?;
        }
    }

    /// Asks another voter to lead. Whether it does shows in [`Group::leadership`].
    pub async fn transfer_leadership(&self, to: NodeId) {
        if let Err(error) = self.raft.trigger().transfer_leader(to).await {
            tracing::warn!(group = self.id, to, %error, "leadership was not handed over");
        }
    }

    /// Answers a request that came from another replica of this group.
    ///
    /// # Errors
    ///
    /// A sentence: it cannot be read, or this replica has stopped.
    pub async fn handle(&self, request: Bytes) -> Result<Bytes, String> {
        let mut from = Reader::new(request);
        let text = |error: ferrymq_wire::Malformed| error.to_string();
        match from.u8("request").map_err(text)? {
            network::APPEND => {
                let request = codec::take_append(&mut from).map_err(text)?;
                let response = self.raft.append_entries(request).await.map_err(|error| error.to_string())?;
                Ok(codec::append_response(&response))
            }
            network::VOTE => {
                let request = codec::take_vote_request(&mut from).map_err(text)?;
                let response = self.raft.vote(request).await.map_err(|error| error.to_string())?;
                Ok(codec::vote_response(&response))
            }
            network::PRE_VOTE => {
                let request = codec::take_vote_request(&mut from).map_err(text)?;
                let response = self.raft.pre_vote(request).await.map_err(|error| error.to_string())?;
                Ok(codec::vote_response(&response))
            }
            network::TRANSFER => {
                let request = codec::take_transfer(&mut from).map_err(text)?;
                let response = self.raft.handle_transfer_leader(request).await.map_err(|error| error.to_string())?;
                Ok(Bytes::from(vec![u8::from(response.is_ok())]))
            }
            network::SNAPSHOT => self.take_snapshot(from).await,
            kind => Err(format!("request {kind} is unknown; is another node of a newer version?")),
        }
    }

    async fn take_snapshot(&self, mut from: Reader) -> Result<Bytes, String> {
        let text = |error: ferrymq_wire::Malformed| error.to_string();
        let vote = codec::take_vote(&mut from).map_err(text)?;
        let meta = codec::take_snapshot_meta(&mut from).map_err(text)?;
        let offset = from.u64("offset").map_err(text)?;
        let last = from.u8("last").map_err(text)? == 1;
        let chunk = from.rest();
        let whole = {
            let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
            if offset == 0 {
                incoming.clear();
            }
            if incoming.len() as u64 != offset || incoming.len() + chunk.len() > MAX_SNAPSHOT_BYTES {
                return Err(format!("a piece of a snapshot at {offset} does not fit behind {}", incoming.len()));
            }
            incoming.extend_from_slice(&chunk);
            last.then(|| std::mem::take(&mut *incoming).freeze())
        };
        let answer = match whole {
            Some(snapshot) => {
                let snapshot = Snapshot { meta, snapshot };
                self.raft.install_full_snapshot(vote, snapshot).await.map_err(|error| error.to_string())?.vote
            }
            None => vote,
        };
        let mut out = BytesMut::with_capacity(17);
        codec::put_vote(&mut out, &answer);
        Ok(out.freeze())
    }

    /// Keeps the log short: makes a snapshot where it has grown, or holds a segment of the journal that is old. To be
    /// called every few seconds.
    ///
    /// # Errors
    ///
    /// The journal failed.
    pub async fn upkeep(&self) -> io::Result<()> {
        let current = self.store.journal().current_segment();
        self.log.refresh(current)?;
        let grown = self.log.appended_bytes();
        let due = {
            let mut at = self.snapshot_at.lock().unwrap_or_else(PoisonError::into_inner);
            let holds = self.log.oldest_segment().is_some_and(|oldest| oldest + SEGMENTS_HELD < current);
            let due = grown.saturating_sub(*at) >= SNAPSHOT_AFTER_BYTES.max(self.snapshot.size()) || holds;
            if due {
                *at = grown;
            }
            due
        };
        if due {
            self.raft.trigger().snapshot().await.map_err(io::Error::other)?;
            let snapshot = self.raft.metrics().borrow_watched().snapshot;
            if let Some(applied) = snapshot {
                let holds = self.log.oldest_segment().is_some_and(|oldest| oldest + SEGMENTS_HELD < current);
                let keep = if holds { 0 } else { ENTRIES_KEPT };
                let upto = applied.index.saturating_sub(keep);
                self.raft.trigger().purge_log(upto).await.map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    /// Stops this replica; its data stays.
    pub async fn stop(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(group = self.id, %error, "a replica did not stop in order");
        }
        self.snapshot.close().await;
    }

    fn reconfigure_error(&self, error: impl std::fmt::Display) -> ReconfigureError {
        ReconfigureError { group: self.id, reason: error.to_string() }
    }
}

fn leadership_of(metrics: &RaftMetrics<Types>) -> Leadership {
    let leader = metrics.state == ServerState::Leader && metrics.running_state.is_ok();
    let own_term_applied = metrics.last_applied.is_some_and(|id| id.leader_id.term == metrics.current_term);
    Leadership {
        term: metrics.current_term,
        leader: metrics.current_leader.filter(|_| metrics.running_state.is_ok()),
        leading: leader && own_term_applied,
    }
}
