//! The replicated machine of a shard, and the hand-outs while this replica leads.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use ferrymq_queue::{Consumer, ConsumerKey, Effect, HandedOut, Handout, QueueId, ShardMachine};
use ferrymq_replication::{Applied, Machine, NodeId};

use super::{GET, PURGE};
use crate::link::{Attachment, Claims, GetReply, QueueCounts};

/// Messages as they are handed out: number, whether they were handed out before, and the message encoded.
pub(crate) type Handed = Vec<(u64, bool, Bytes)>;

/// Where a leader's effects go. Called with the shard locked: must not wait, nor come back to the shard.
pub(crate) trait Outlet: Send + Sync + 'static {
    /// Messages for a consumer.
    fn deliver(&self, shard: u32, term: u64, to: ConsumerKey, queue: QueueId, messages: Handed);

    /// A consumer's queue is gone.
    fn gone(&self, to: ConsumerKey);

    /// The last consumer of a queue has gone.
    fn deserted(&self, queue: QueueId);
}

/// A shard's state on this node.
pub(crate) struct ShardState {
    shard: u32,
    machine: ShardMachine,
    lead: Option<Lead>,
    outlet: Arc<dyn Outlet>,
    /// Bytes of messages in all shards of this node.
    memory: Arc<AtomicU64>,
    counted: u64,
}

/// What a leader knows and does not replicate.
struct Lead {
    term: u64,
    handouts: HashMap<QueueId, Handout>,
    /// Nodes that have not told yet what their consumers hold; nothing is handed out before they have, or are given up.
    awaited: BTreeSet<NodeId>,
}

impl ShardState {
    pub(crate) fn new(shard: u32, outlet: Arc<dyn Outlet>, memory: Arc<AtomicU64>) -> Self {
        Self { shard, machine: ShardMachine::default(), lead: None, outlet, memory, counted: 0 }
    }

    pub(crate) fn machine(&self) -> &ShardMachine {
        &self.machine
    }

    /// This replica leads from now on; these nodes are to say first what they hold.
    pub(crate) fn lead(&mut self, term: u64, awaited: BTreeSet<NodeId>) {
        self.lead = Some(Lead { term, handouts: HashMap::new(), awaited });
    }

    /// This replica leads no more.
    pub(crate) fn follow(&mut self) {
        self.lead = None;
    }

    /// Those who have not told what they hold are given up.
    pub(crate) fn stop_waiting(&mut self, term: u64) {
        if let Some(lead) = self.lead.as_mut().filter(|lead| lead.term == term && !lead.awaited.is_empty()) {
            lead.awaited.clear();
            self.hand_out_all();
        }
    }

    /// A node tells what its consumers hold.
    pub(crate) fn claim(&mut self, node: NodeId, term: u64, claims: Claims) {
        let Some(lead) = self.lead.as_mut().filter(|lead| lead.term == term) else { return };
        for (queue, consumer, messages) in claims.held {
            let Some((id, queue)) = find(&self.machine, queue) else { continue };
            let key = ConsumerKey { node, consumer };
            lead.handouts.entry(id).or_default().claim(queue, key, &messages);
        }
        for attachment in claims.attachments {
            let Some((id, _)) = find(&self.machine, attachment.queue) else {
                self.outlet.gone(ConsumerKey { node, consumer: attachment.consumer });
                continue;
            };
            lead.handouts.entry(id).or_default().attach(consumer_of(node, &attachment));
        }
        lead.awaited.remove(&node);
        self.hand_out_all();
    }

    /// Attaches a consumer; `None` where this replica does not lead.
    pub(crate) fn attach(&mut self, node: NodeId, attachment: &Attachment) -> Option<bool> {
        let lead = self.lead.as_mut()?;
        let Some(id) = QueueId::new(attachment.queue) else { return Some(false) };
        let attached = lead.handouts.entry(id).or_default().attach(consumer_of(node, attachment));
        self.hand_out(id);
        Some(attached)
    }

    pub(crate) fn detach(&mut self, key: ConsumerKey, queue: u64) {
        let Some(lead) = self.lead.as_mut() else { return };
        let Some(id) = QueueId::new(queue) else { return };
        let Some(handout) = lead.handouts.get_mut(&id) else { return };
        if handout.detach(key) && handout.is_deserted() {
            self.outlet.deserted(id);
        }
    }

    pub(crate) fn grant(&mut self, key: ConsumerKey, queue: u64, deliveries: u32) {
        let Some(lead) = self.lead.as_mut() else { return };
        let Some(id) = QueueId::new(queue) else { return };
        if let Some(handout) = lead.handouts.get_mut(&id) {
            handout.grant(key, deliveries);
            self.hand_out(id);
        }
    }

    /// Takes a message for a get; `None` where this replica does not lead.
    pub(crate) fn get(&mut self, node: NodeId, queue: u64) -> Option<Option<GetReply>> {
        let lead = self.lead.as_mut()?;
        if !lead.awaited.is_empty() {
            return None;
        }
        let Some((id, queue)) = find(&self.machine, queue) else { return Some(None) };
        let handout = lead.handouts.entry(id).or_default();
        let Some(message) = handout.take(queue, ConsumerKey { node, consumer: GET }) else { return Some(None) };
        let remaining = handout.ready(queue) as u64;
        Some(queue.get(message).map(|stored| GetReply {
            message,
            redelivered: stored.returns > 0,
            bytes: stored.message.to_vec(),
            remaining,
        }))
    }

    /// Takes all that is ready, to be purged; `None` where this replica does not lead.
    pub(crate) fn take_all(&mut self, node: NodeId, queue: u64) -> Option<Vec<u64>> {
        let lead = self.lead.as_mut()?;
        let Some((id, queue)) = find(&self.machine, queue) else { return Some(Vec::new()) };
        Some(lead.handouts.entry(id).or_default().take_all(queue, ConsumerKey { node, consumer: PURGE }))
    }

    /// Counts queues; `None` where this replica does not lead.
    pub(crate) fn count(&self, queues: &[u64]) -> Option<Vec<QueueCounts>> {
        let lead = self.lead.as_ref()?;
        let count = |queue: &u64| {
            let Some((id, queue)) = find(&self.machine, *queue) else { return QueueCounts::default() };
            let handout = lead.handouts.get(&id);
            QueueCounts {
                ready: handout.map_or(queue.len(), |handout| handout.ready(queue)) as u64,
                messages: queue.len() as u64,
                consumers: u32::try_from(handout.map_or(0, Handout::consumers)).unwrap_or(u32::MAX),
            }
        };
        Some(queues.iter().map(count).collect())
    }

    /// A node is gone, and so are its consumers: gives what they held, which is to be returned.
    pub(crate) fn node_gone(&mut self, node: NodeId) -> Vec<(QueueId, Vec<u64>)> {
        let Some(lead) = self.lead.as_mut() else { return Vec::new() };
        let mut held = Vec::new();
        for (id, handout) in &mut lead.handouts {
            let had = handout.consumers() > 0;
            let messages = handout.node_gone(node);
            if !messages.is_empty() {
                held.push((*id, messages));
            }
            if had && handout.is_deserted() {
                self.outlet.deserted(*id);
            }
        }
        lead.awaited.remove(&node);
        self.hand_out_all();
        held
    }

    fn follow_up(&mut self, effects: &[Effect]) {
        let Some(lead) = self.lead.as_mut() else { return };
        let mut touched: Vec<QueueId> = Vec::new();
        for effect in effects {
            let queue = match *effect {
                Effect::Enqueued { queue, .. } => queue,
                Effect::Removed { queue, message } => {
                    if let Some(handout) = lead.handouts.get_mut(&queue) {
                        handout.removed(message);
                    }
                    queue
                }
                Effect::Returned { queue, message } => {
                    if let Some(handout) = lead.handouts.get_mut(&queue) {
                        handout.returned(message);
                    }
                    queue
                }
                Effect::Deleted { queue } => {
                    for key in lead.handouts.remove(&queue).iter().flat_map(Handout::keys) {
                        self.outlet.gone(key);
                    }
                    continue;
                }
            };
            if touched.last() != Some(&queue) {
                touched.push(queue);
            }
        }
        touched.sort_unstable();
        touched.dedup();
        touched.into_iter().for_each(|queue| self.hand_out(queue));
    }

    fn hand_out_all(&mut self) {
        let Some(lead) = &self.lead else { return };
        let queues: Vec<QueueId> = lead.handouts.keys().copied().collect();
        queues.into_iter().for_each(|queue| self.hand_out(queue));
    }

    fn hand_out(&mut self, id: QueueId) {
        let Some(lead) = self.lead.as_mut().filter(|lead| lead.awaited.is_empty()) else { return };
        let Some(handout) = lead.handouts.get_mut(&id) else { return };
        let Some(queue) = self.machine.queue(id) else { return };
        let mut out: Vec<HandedOut> = Vec::new();
        handout.hand_out(queue, &mut out);
        let mut by_consumer: Vec<(ConsumerKey, Handed)> = Vec::new();
        for HandedOut { to, message } in out {
            let Some(stored) = queue.get(message) else { continue };
            let item = (message, stored.returns > 0, stored.message.clone());
            match by_consumer.iter_mut().find(|(key, _)| *key == to) {
                Some((_, messages)) => messages.push(item),
                None => by_consumer.push((to, vec![item])),
            }
        }
        for (to, messages) in by_consumer {
            self.outlet.deliver(self.shard, lead.term, to, id, messages);
        }
    }

    fn count_memory(&mut self) {
        let now = self.machine.bytes();
        if now >= self.counted {
            self.memory.fetch_add(now - self.counted, Ordering::Relaxed);
        } else {
            self.memory.fetch_sub(self.counted - now, Ordering::Relaxed);
        }
        self.counted = now;
    }
}

impl Machine for ShardState {
    fn apply(&mut self, _at: Applied, command: Bytes) -> Bytes {
        let mut effects = Vec::new();
        let reply = self.machine.apply(command, &mut effects);
        self.count_memory();
        self.follow_up(&effects);
        reply
    }

    fn snapshot(&self) -> Bytes {
        self.machine.snapshot()
    }

    fn restore(&mut self, snapshot: Bytes) -> Result<(), String> {
        self.machine = ShardMachine::restore(snapshot).map_err(|error| error.to_string())?;
        self.count_memory();
        Ok(())
    }
}

impl Drop for ShardState {
    fn drop(&mut self) {
        self.memory.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

fn find(machine: &ShardMachine, queue: u64) -> Option<(QueueId, &ferrymq_queue::Queue)> {
    let id = QueueId::new(queue)?;
    Some((id, machine.queue(id)?))
}

fn consumer_of(node: NodeId, attachment: &Attachment) -> Consumer {
    Consumer {
        key: ConsumerKey { node, consumer: attachment.consumer },
        prefetch: attachment.prefetch,
        window: attachment.window,
        priority: attachment.priority,
        exclusive: attachment.exclusive,
    }
}
