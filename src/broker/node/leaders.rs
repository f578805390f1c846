//! Who leads what, and what follows when that changes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak, atomic::Ordering},
    time::Duration,
};

use ferrymq_core::{Event, Settlement};
use ferrymq_queue::{ConsumerKey, Outcome, QueueId};
use ferrymq_replication::NodeId;
use tokio::sync::watch;

use super::Inner;
use crate::{
    catalogue::Command,
    counters::Count,
    link::{Claims, Notice, Shortage, Tell},
    shard::{Answers, Handed, Lost, OnLeader, Outlet},
};

/// How long a new leader waits for the nodes to tell what their consumers hold.
const WAIT_FOR_CLAIMS: Duration = Duration::from_millis(500);
/// A node that is out of reach for so long has lost what its consumers hold.
const GRACE: Duration = Duration::from_secs(1);

/// What is known of leaders.
pub(super) struct Leaders {
    known: Mutex<HashMap<u32, (u64, NodeId)>>,
    changes: watch::Sender<u64>,
    others: Mutex<BTreeMap<NodeId, Other>>,
}

/// What is known of another node.
#[derive(Debug, Clone, Copy, Default)]
struct Other {
    alarm: Option<Shortage>,
    accepts: bool,
    /// How often this node has released or doubted what the other holds: it is to tell anew then.
    released: u64,
    /// How often the other has released or doubted what this node holds, as far as it was told.
    told: u64,
}

impl Default for Leaders {
    fn default() -> Self {
        Self { known: Mutex::default(), changes: watch::channel(0).0, others: Mutex::default() }
    }
}

impl Leaders {
    /// The leader of a shard, as last heard.
    pub(super) fn of(&self, shard: u32) -> Option<NodeId> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&shard).map(|(_, node)| *node)
    }

    /// The shards that a node leads, with their terms, as last heard.
    fn led_by(&self, node: NodeId) -> Vec<(u32, u64)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let led = known.iter().filter(|(_, (_, leader))| *leader == node);
        led.map(|(shard, (term, _))| (*shard, *term)).collect()
    }

    /// Counts changes.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn learn(&self, shard: u32, term: u64, node: NodeId) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.get(&shard).copied();
        if before.is_some_and(|(known, _)| known > term) || before == Some((term, node)) {
            return false;
        }
        known.insert(shard, (term, node));
        drop(known);
        self.changes.send_modify(|count| *count += 1);
        true
    }

    fn other<T>(&self, node: NodeId, with: impl FnOnce(&mut Other) -> T) -> T {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        with(others.entry(node).or_insert(Other { accepts: true, ..Other::default() }))
    }

    /// Whether a node takes leadership.
    pub(super) fn accepts(&self, node: NodeId) -> bool {
        self.other(node, |other| other.accepts)
    }

    fn any_alarm(&self) -> Option<(NodeId, Shortage)> {
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.iter().find_map(|(node, other)| Some((*node, other.alarm?)))
    }
}

impl Inner {
    /// Tells a node what this one leads. A node that hears of a new leader tells it what its consumers hold.
    pub(super) fn tell_leads(&self, node: NodeId) {
        let Some(peer) = self.links.peer(node) else { return };
        let epoch = self.leaders.other(node, |other| other.released);
        peer.tell(Tell::Notice(self.leads(epoch)).encode());
    }

    fn leads(&self, epoch: u64) -> Notice {
        let accepts = self.accepts.load(Ordering::Relaxed);
        Notice::Leads { shards: self.led(), alarm: self.shortage(), accepts, epoch }
    }

    /// The shards that this node leads, with their terms.
    fn led(&self) -> Vec<(u32, u64)> {
        let shards = self.all_replicas().into_iter().filter_map(|(shard, replica)| {
            let now = *replica.group.leadership().borrow();
            now.leading.then_some((shard, now.term))
        });
        shards.collect()
    }

    /// Tells all.
    pub(super) fn tell_all_leads(&self) {
        self.links.peers().into_iter().for_each(|(node, _)| self.tell_leads(node));
    }

    /// A node told what it leads.
    pub(super) fn on_leads(
        &self,
        from: NodeId,
        shards: Vec<(u32, u64)>,
        alarm: Option<Shortage>,
        accepts: bool,
        epoch: u64,
    ) {
        let anew = self.leaders.other(from, |other| {
            other.alarm = alarm;
            other.accepts = accepts;
            let anew = other.told != epoch;
            other.told = epoch;
            anew
        });
        if anew {
            self.tell_anew(from, shards);
        } else {
            shards.into_iter().for_each(|(shard, term)| self.on_leader(shard, term, from));
        }
        self.update_blocked();
    }

    /// A shard's leader is this one.
    fn on_leader(&self, shard: u32, term: u64, leader: NodeId) {
        let new = self.leaders.learn(shard, term, leader);
        if self.leaders.of(shard) != Some(leader) {
            return;
        }
        let epoch = self.leaders.other(leader, |other| other.told);
        if let Some(claims) = self.consumers().claims(shard, term, epoch) {
            if leader == self.id() {
                self.on_claims(leader, shard, term, claims);
            } else if let Some(peer) = self.links.peer(leader) {
                peer.tell(Tell::Notice(Notice::Claims { shard, term, claims }).encode());
            }
        }
        if new {
            self.outbox(shard).send_again(self, 0);
        }
    }

    /// A node tells what its consumers hold.
    pub(super) fn on_claims(&self, from: NodeId, shard: u32, term: u64, claims: Claims) {
        let Some(replica) = self.replica(shard) else { return };
        let lost = replica.group.machine().claim(from, term, claims);
        self.take_back(shard, lost);
    }

    /// What a node has lost goes back, in a shard that this one leads.
    fn take_back(&self, shard: u32, lost: Option<Lost>) {
        let Some(Lost { node, term, held }) = lost else { return };
        for (queue, held) in held {
            self.put(shard, None, |commands| commands.take_back(queue, node, &held, term));
        }
    }

    /// What was sent to a node may not have come: it is to tell anew what its consumers hold.
    pub(super) fn doubt(&self, node: NodeId) {
        let epoch = self.leaders.other(node, |other| {
            other.released += 1;
            other.released
        });
        for (_, replica) in self.all_replicas() {
            replica.group.machine().doubt(node, epoch);
        }
        if node != self.id() {
            return self.tell_leads(node);
        }
        self.leaders.other(node, |other| other.told = epoch);
        self.tell_anew(node, self.led());
    }

    /// Tells a leader of these shards once more what this node's consumers hold.
    fn tell_anew(&self, leader: NodeId, shards: Vec<(u32, u64)>) {
        for (shard, term) in shards {
            self.consumers().forget_leader(shard);
            self.on_leader(shard, term, leader);
        }
    }

    /// Whether leadership may be handed to a node: one that is gone would leave the shard without a leader for a while.
    pub(super) fn takes_leadership(&self, node: NodeId) -> bool {
        self.leaders.accepts(node) && self.links.peer(node).is_some_and(|peer| peer.is_reachable())
    }

    /// A node came within reach, or went out of it.
    pub(super) fn on_reachable(self: &Arc<Self>, node: NodeId, reachable: bool) {
        if reachable {
            self.doubt(node);
            // What was told it may not have come either.
            self.tell_anew(node, self.leaders.led_by(node));
            self.all_outboxes().into_iter().for_each(|outbox| outbox.send_again(&**self, 0));
            return;
        }
        self.leaders.other(node, |other| other.alarm = None);
        self.update_blocked();
        let this = Arc::downgrade(self);
        self.spawn(async move {
            tokio::time::sleep(GRACE).await;
            let Some(this) = this.upgrade() else { return };
            if this.links.peer(node).is_none_or(|peer| !peer.is_reachable()) {
                this.release(node);
            }
        });
    }

    /// A node's consumers are gone: what they held goes back.
    pub(super) fn release(&self, node: NodeId) {
        self.leaders.other(node, |other| other.released += 1);
        for (shard, replica) in self.all_replicas() {
            let lost = replica.group.machine().node_gone(node);
            self.take_back(shard, lost);
        }
        self.tell_leads(node);
    }

    /// What this node has too little of.
    pub(super) fn shortage(&self) -> Option<Shortage> {
        let disk = self.store.is_short_of_space().then_some(Shortage::Disk);
        disk.or_else(|| self.is_over_high_water().then_some(Shortage::Memory))
    }

    fn is_over_high_water(&self) -> bool {
        let limit = self.settings.memory_high_water;
        // Goes off only when well below, so that it does not flap.
        let limit = if self.blocked.borrow().is_some() { limit - limit / 10 } else { limit };
        (self.settings.memory_used)() > limit
    }

    /// Blocks publishers while this node or another one has too much in memory, and lets them go on after.
    pub(super) fn update_blocked(&self) {
        let own = self.shortage().map(|shortage| format!("low on {}", shortage.name()));
        let reason = own.or_else(|| {
            let (node, shortage) = self.leaders.any_alarm()?;
            Some(format!("node {node} is low on {}", shortage.name()))
        });
        let before = self.blocked.send_replace(reason.clone());
        match (before.is_some(), reason) {
            (false, Some(reason)) => {
                tracing::warn!(reason, "publishers wait until messages are consumed");
                self.tell_sessions(|| Event::Blocked(reason.clone()));
            }
            (true, None) => {
                tracing::info!("publishers go on");
                self.tell_sessions(|| Event::Unblocked);
            }
            _ => {}
        }
    }
}

/// The node, as its replicas see it. They do not keep it alive.
pub(super) struct Backstage(pub(super) Weak<Inner>);

impl Outlet for Backstage {
    fn deliver(&self, shard: u32, term: u64, to: ConsumerKey, queue: QueueId, messages: Handed) {
        let Some(node) = self.0.upgrade() else { return };
        if to.node == node.id() {
            node.deliver(shard, term, to.consumer, queue, messages);
        } else if let Some(peer) = node.links.peer(to.node) {
            peer.tell(Tell::Deliver { shard, term, to, queue, messages }.encode());
        }
    }

    fn read(&self, shard: u32, term: u64, entries: Vec<u64>) {
        let Some(node) = self.0.upgrade() else { return };
        if let Some(replica) = node.replica(shard) {
            replica.read(&node.reader, term, entries);
        }
    }

    fn gone(&self, to: ConsumerKey) {
        let Some(node) = self.0.upgrade() else { return };
        if to.node == node.id() {
            node.consumers().gone(to.consumer);
        } else if let Some(peer) = node.links.peer(to.node) {
            peer.tell(Tell::Notice(Notice::Gone { consumer: to.consumer }).encode());
        }
    }

    fn deserted(&self, queue: QueueId) {
        let Some(node) = self.0.upgrade() else { return };
        let this = node.clone();
        node.spawn(async move { this.delete_deserted(queue).await });
    }
}

impl Answers for Backstage {
    fn answer(&self, shard: u32, (to, run): (NodeId, u64), outcomes: Vec<(u64, Outcome)>) {
        let Some(node) = self.0.upgrade() else { return };
        let outcomes: Vec<_> =
            outcomes.into_iter().map(|(sequence, outcome)| Notice::outcome(sequence, outcome)).collect();
        if to == node.id() {
            node.on_outcomes(shard, run, outcomes);
        } else if let Some(peer) = node.links.peer(to) {
            peer.tell(Tell::Notice(Notice::Outcomes { shard, run, outcomes }).encode());
        }
    }
}

impl OnLeader for Backstage {
    fn leading(&self, _shard: u32, _term: u64) -> BTreeSet<NodeId> {
        let Some(node) = self.0.upgrade() else { return BTreeSet::new() };
        let reachable = node.links.peers().into_iter().filter(|(_, peer)| peer.is_reachable()).map(|(id, _)| id);
        reachable.chain([node.id()]).collect()
    }

    fn asked(&self, shard: u32, term: u64) {
        let Some(node) = self.0.upgrade() else { return };
        tracing::info!(node = node.id(), shard, term, "leads");
        node.counters().add(Count::ElectionsWon, 1);
        node.on_leader(shard, term, node.id());
        node.tell_all_leads();
        let this = self.0.clone();
        node.spawn(async move {
            tokio::time::sleep(WAIT_FOR_CLAIMS).await;
            if let Some(replica) = this.upgrade().and_then(|node| node.replica(shard)) {
                replica.stop_waiting(term);
            }
        });
    }
}

impl Inner {
    /// Messages for a consumer of this node.
    pub(super) fn deliver(&self, shard: u32, term: u64, consumer: u64, queue: QueueId, messages: Handed) {
        let back = self.consumers().deliver(shard, term, consumer, queue, messages);
        if !back.is_empty() {
            self.settle(shard, queue, back, Settlement::Requeue);
        }
    }

    async fn delete_deserted(self: Arc<Self>, queue: QueueId) {
        let found = self.catalogue(|catalogue| {
            let (host, name, record) = catalogue.queue_by_id(queue)?;
            record.auto_delete.then(|| (host.to_owned(), name.to_owned(), record.shard))
        });
        let Ok(Some((virtual_host, name, shard))) = found else { return };
        let command = Command::DeleteQueue { virtual_host, name, id: Some(queue.get()) };
        if self.change(command).await.is_ok() {
            self.delete_in_shard(shard, queue);
        }
    }
}
