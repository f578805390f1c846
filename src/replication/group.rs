//! One replica of one shard, and all that may be asked of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use ferrymq_wire::{Reader, Write as _};
use openraft::{
    ChangeMembers, Config, EmptyNode, Raft, RaftMetrics, ServerState, SnapshotPolicy,
    impls::ProgressResponder,
    raft::{ClientWriteResult, VoteRequest},
    type_config::{
        alias::OneshotReceiverOf,
        async_runtime::{instant::Instant as _, watch::WatchReceiver},
    },
};
use tokio::sync::watch;

use crate::{
    blocking::blocking,
    codec,
    incoming::{self, Incoming},
    log::{GroupLog, KeptEntry},
    machine::{Host, Machine, lock},
    network::{self, Network, Transport},
    snapshot::SnapshotFile,
    store::Store,
    task,
    types::{Command, GroupId, NodeId, Snapshot, SnapshotMeta, Types, Vote},
};

/// A log may grow by this much, or by as much as its last snapshot has, before the next snapshot is made.
const SNAPSHOT_AFTER_BYTES: u64 = 32 << 20;
/// A group that holds a segment this many behind the newest is made to let go of it.
const SEGMENTS_HELD: u64 = 4;
/// Entries kept behind a snapshot, for followers that are a little behind.
const ENTRIES_KEPT: u64 = 128;
/// How far behind a replica may be, in entries, and still count as in sync.
const IN_SYNC_WITHIN: u64 = 64;
/// A log may have this many entries more than its last snapshot before the next is made: each takes memory.
const SNAPSHOT_AFTER_ENTRIES: u64 = 16_384;
/// Or this many for each MiB of its last snapshot, so that what a snapshot costs is spread over more of them.
const SNAPSHOT_AFTER_ENTRIES_A_MIB: u64 = 1024;
/// Bytes of entries written again in one go, so that their segment can be dropped.
const REWRITTEN_BYTES: usize = 4 << 20;

/// How quickly a group notices that its leader is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How often a leader tells that it is there. The library looks at its clocks five times as often, in every group:
    /// that is most of what an idle node does.
    pub heartbeat: Duration,
    /// The least and the most time, more than `heartbeat`, after which a replica wants to lead once its leader's lease
    /// has ended. The lease is the most of it, from the last heartbeat on.
    pub election: (Duration, Duration),
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(200),
            election: (Duration::from_millis(250), Duration::from_millis(400)),
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
    /// On the leader: entries that the voter furthest behind has not got.
    pub lag: u64,
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
    pub(crate) log: GroupLog,
    snapshot: SnapshotFile,
    store: Arc<Store>,
    leadership: watch::Receiver<Leadership>,
    /// A snapshot that comes in by pieces.
    incoming: Mutex<Incoming>,
    /// Bytes that the log had taken when the last snapshot was made.
    snapshot_at: Mutex<u64>,
    /// The last index that was asked to be purged.
    purged_to: AtomicU64,
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
            // One that led before it was stopped would lead again in the same term, with a machine that has not applied
            // all of that term, and without the hand-outs that others take for granted in that term.
            enable_leader_restore: Some(false),
            // A replica that lost the end of its log to its disk is filled again; without this its leader would panic.
            allow_log_reversion: Some(true),
            snapshot_policy: SnapshotPolicy::Never,
            // Purged by `upkeep` alone, so that nobody takes back what it has asked for.
            max_in_snapshot_log_to_keep: u64::MAX,
            max_payload_entries: 64,
            replication_lag_threshold: u64::MAX,
            ..Config::default()
        };
        let config = Arc::new(config.validate().map_err(io::Error::other)?);
        let log = store.log(id)?;
        #[cfg(feature = "simulation")]
        crate::simulation::Opened { node, group: id, pristine: log.index().is_pristine() }.note();
        let snapshot = store.snapshot(id);
        let host = Host::new(machine.clone(), log.clone(), snapshot.clone(), store.pages())?;
        let network = Network { group: id, transport, log: log.clone() };
        let raft = Raft::new(node, config, network, log.clone(), host).await.map_err(io::Error::other)?;
        let (tell, leadership) = watch::channel(Leadership::default());
        let mut metrics = raft.metrics();
        task::spawn(async move {
            loop {
                let now = leadership_of(&metrics.borrow_and_update());
                tell.send_if_modified(|before| std::mem::replace(before, now) != now);
                if metrics.changed().await.is_err() || tell.is_closed() {
                    break;
                }
            }
        });
        let (snapshot_at, purged_to) = (Mutex::new(0), AtomicU64::new(0));
        let incoming = Mutex::default();
        Ok(Arc::new(Self {
            id,
            node,
            raft,
            machine,
            log,
            snapshot,
            store,
            leadership,
            incoming,
            snapshot_at,
            purged_to,
        }))
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
        let (responder, answer) = ProgressResponder::complete_only();
        let command = Command { time: task::time_of_day(), bytes: command };
        match self.raft.client_write_ff(command, Some(responder)).await {
            Ok(()) => Ok(Pending(answer)),
            Err(error) => Err(ProposeError::Stopped(error.to_string())),
        }
    }

    /// Index of the last entry that the machine has applied.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.raft.metrics().borrow_watched().last_applied.map_or(0, |id| id.index)
    }

    /// What this replica knows of its group.
    #[must_use]
    pub fn view(&self) -> GroupView {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership().clone();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let last = metrics.last_log_index.unwrap_or(0);
        let (mut in_sync, mut lag) = (BTreeSet::new(), 0);
        if let Some(replication) = &metrics.replication {
            for (node, matched) in replication {
                let behind = last.saturating_sub(matched.map_or(0, |id| id.index));
                let heard = metrics
                    .heartbeat
                    .as_ref()
                    .and_then(|acks| acks.get(node).copied().flatten())
                    .is_some_and(|at| at.elapsed() < Duration::from_secs(2));
                if voters.contains(node) && *node != self.node {
                    lag = lag.max(behind);
                }
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
            lag,
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
                self.may_vote_for(&request)?;
                let response = self.raft.vote(request).await.map_err(|error| error.to_string())?;
                Ok(codec::vote_response(&response))
            }
            network::PRE_VOTE => {
                let request = codec::take_vote_request(&mut from).map_err(text)?;
                self.may_vote_for(&request)?;
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
        let mut answer = vote;
        match from.u8("piece").map_err(text)? {
            network::SNAPSHOT_BEGINS => self.begin_incoming().await?,
            network::SNAPSHOT_ENTRIES => {
                let mut entries: Vec<KeptEntry> = Vec::new();
                while !from.is_empty() {
                    entries.push((from.u64("index").map_err(text)?, from.bytes("entry").map_err(text)?));
                }
                self.keep_incoming(entries).await?;
            }
            network::SNAPSHOT_STATE => {
                let offset = from.u64("offset").map_err(text)?;
                let last = from.u8("last").map_err(text)? == 1;
                if let Some(vote) = self.take_incoming(vote, meta, offset, from.rest(), last).await? {
                    answer = vote;
                }
            }
            kind => return Err(format!("piece {kind} of a snapshot is unknown; is another node of a newer version?")),
        }
        // What was purged here was applied here: what is needed of it is kept here.
        let purged = self.log.index().purged().map_or(0, |id| id.index);
        let mut out = BytesMut::with_capacity(25);
        codec::put_vote(&mut out, &answer);
        out.write_u64(self.incoming().entries_to().max(purged));
        Ok(out.freeze())
    }

    /// A snapshot begins to come in.
    pub(crate) async fn begin_incoming(&self) -> Result<(), String> {
        let snapshot = self.snapshot.clone();
        let file = blocking(move || snapshot.incoming()).await.map_err(|error| error.to_string())?;
        self.incoming().begin(file);
        Ok(())
    }

    /// Entries that the state of the snapshot needs.
    pub(crate) async fn keep_incoming(&self, entries: Vec<KeptEntry>) -> Result<(), String> {
        let last = entries.last().map_or(0, |(index, _)| *index);
        self.log.keep(entries).await.map_err(|error| error.to_string())?;
        self.incoming().has_entries_to(last);
        Ok(())
    }

    /// A part of its state; with the last one it is installed, and this gives the vote that the replica has then.
    pub(crate) async fn take_incoming(
        &self,
        vote: Vote,
        meta: SnapshotMeta,
        offset: u64,
        part: Bytes,
        last: bool,
    ) -> Result<Option<Vote>, String> {
        let (file, length) = (self.incoming().place(offset, part.len())?, part.len());
        let written = blocking(move || incoming::write(&*file, &part, offset)).await;
        written.map_err(|error| error.to_string())?;
        let whole = self.incoming().add(length, last);
        let Some(snapshot) = whole else { return Ok(None) };
        let installed = self.raft.install_full_snapshot(vote, Snapshot { meta, snapshot }).await;
        let answer = installed.map_err(|error| error.to_string())?.vote;
        let snapshot = self.snapshot.clone();
        blocking(move || snapshot.remove_incoming()).await.map_err(|error| error.to_string())?;
        Ok(Some(answer))
    }

    pub(crate) fn raft(&self) -> &Raft<Types, Host<M>> {
        &self.raft
    }

    pub(crate) fn snapshot_file(&self) -> &SnapshotFile {
        &self.snapshot
    }

    fn incoming(&self) -> MutexGuard<'_, Incoming> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The command of an entry that the machine has applied and needs. Blocks for a read of the disk where it is not in
    /// memory.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] where the machine has given it free since; else the disk failed, or what is on it is
    /// damaged.
    pub fn command(&self, index: u64) -> io::Result<Bytes> {
        self.log.command(index)
    }

    /// Keeps the log short and the journal small: makes a snapshot where the log has grown, or holds a segment that is
    /// old; writes again what is needed of segments before `clean_before`. To be called a few times a second.
    ///
    /// # Errors
    ///
    /// The journal failed, or an entry that is needed cannot be read.
    pub async fn upkeep(&self, clean_before: u64) -> io::Result<()> {
        let current = self.store.journal().current_segment();
        self.log.refresh(current)?;
        let (grown, holds, entries) = {
            let index = self.log.index();
            let held_before = clean_before.max(current.saturating_sub(SEGMENTS_HELD));
            let holds = index.oldest_segment().is_some_and(|oldest| oldest < held_before);
            (index.appended_bytes(), holds, index.len())
        };
        let due = {
            let mut at = self.snapshot_at.lock().unwrap_or_else(PoisonError::into_inner);
            let much = grown.saturating_sub(*at) >= SNAPSHOT_AFTER_BYTES.max(self.snapshot.size());
            let many = SNAPSHOT_AFTER_ENTRIES.max((self.snapshot.size() >> 20) * SNAPSHOT_AFTER_ENTRIES_A_MIB);
            let due = much || holds || entries as u64 >= many;
            if due {
                *at = grown;
            }
            due
        };
        if due {
            self.raft.trigger().snapshot().await.map_err(io::Error::other)?;
        }
        let snapshot = self.raft.metrics().borrow_watched().snapshot;
        let keep = if holds { 0 } else { ENTRIES_KEPT };
        let upto = snapshot.map_or(0, |applied| applied.index.saturating_sub(keep));
        if self.purged_to.fetch_max(upto, Ordering::Relaxed) < upto {
            self.raft.trigger().purge_log(upto).await.map_err(io::Error::other)?;
        }
        self.rewrite(clean_before).await
    }

    /// Writes again what is kept in segments before this one.
    async fn rewrite(&self, clean_before: u64) -> io::Result<()> {
        while self.rewrite_some(clean_before).await? {}
        Ok(())
    }

    /// Gives whether there may be more.
    async fn rewrite_some(&self, clean_before: u64) -> io::Result<bool> {
        let (log, held, machine) = (self.log.clone(), self.log.clone(), self.machine.clone());
        let entries = blocking(move || {
            let old = log.kept_before(clean_before, REWRITTEN_BYTES)?;
            old.into_iter()
                .map(|(index, record)| {
                    let distil = |command| match held.is_held(index) {
                        true => command,
                        false => lock(&machine).distil(index, command),
                    };
                    Ok((index, codec::with_command(index, record, distil).map_err(io::Error::other)?))
                })
                .collect::<io::Result<Vec<KeptEntry>>>()
        });
        let entries = entries.await?;
        let indexes: Vec<u64> = entries.iter().map(|(index, _)| *index).collect();
        self.log.keep(entries).await?;
        self.log.free_unneeded(&indexes);
        Ok(!indexes.is_empty())
    }

    /// On the leader: the members do not have this node among them any more, for good.
    #[must_use]
    pub fn has_left(&self, node: NodeId) -> bool {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let stored = &metrics.membership_config;
        leadership_of(&metrics).leading
            && *stored.log_id() <= metrics.last_applied
            && stored.membership().get_joint_config().len() == 1
            && stored.membership().nodes().all(|(member, _)| *member != node)
    }

    /// Stops this replica; its data stays.
    pub async fn stop(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(group = self.id, %error, "a replica did not stop in order");
        }
        self.snapshot.close().await;
    }

    /// Lets go of a replica that was stopped: it may be opened again.
    pub fn close(&self) {
        self.store.give_back(self.id, self.log.clone());
    }

    /// Forgets all that a replica has that was stopped and is no member any more, and lets go of it. Its vote stays, and
    /// how far its log went: where it becomes a member again, it votes for nobody who has less than it had.
    ///
    /// # Errors
    ///
    /// The journal failed, or the snapshot cannot be removed: the next start does that then.
    pub async fn forget(&self) -> io::Result<()> {
        self.log.forget().await?;
        let removed = self.snapshot.remove().await;
        self.close();
        removed
    }

    /// Whether who asks for this replica's vote has at least what it had before it forgot that.
    fn may_vote_for(&self, request: &VoteRequest<Types>) -> Result<(), String> {
        let had = self.log.index().forgotten();
        if request.last_log_id < had { Err("it has less than this replica once had".into()) } else { Ok(()) }
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
