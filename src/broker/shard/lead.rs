//! What a shard's leader knows and does not replicate: who gets which message now, and the messages on their way.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use bytes::Bytes;
use ferrymq_queue::{ConsumerKey, Effect, HandedOut, Handout, QueueId, ShardMachine};
use ferrymq_replication::NodeId;

use super::{Handed, Outlet, bodies::Bodies, doubt::Doubt};

/// Entries that are read ahead of a queue's consumers: about so many bytes, and at most so many.
const READ_AHEAD_BYTES: u64 = 1 << 20;
const READ_AHEAD_ENTRIES: usize = 16;

/// What a leader knows.
pub(super) struct Lead {
    pub(super) term: u64,
    pub(super) handouts: HashMap<QueueId, Handout>,
    /// Nodes that have not told yet what their consumers hold; nothing is handed out before they have, or are given up.
    pub(super) awaited: BTreeSet<NodeId>,
    pub(super) bodies: Bodies,
    /// Nodes that were asked to tell anew what their consumers hold.
    pub(super) doubts: BTreeMap<NodeId, Doubt>,
    /// Handed out, while the entries in which they lie are read: by queue, in order.
    waiting: BTreeMap<QueueId, VecDeque<HandedOut>>,
    /// Entries that are being read.
    reading: BTreeSet<u64>,
}

impl Lead {
    pub(super) fn new(term: u64, awaited: BTreeSet<NodeId>) -> Self {
        Self {
            term,
            handouts: HashMap::new(),
            awaited,
            bodies: Bodies::default(),
            doubts: BTreeMap::new(),
            waiting: BTreeMap::new(),
            reading: BTreeSet::new(),
        }
    }

    /// Follows what happened; gives the queues in which something may be handed out by it.
    pub(super) fn follow(&mut self, effects: &[Effect], machine: &ShardMachine, outlet: &dyn Outlet) -> Vec<QueueId> {
        let mut touched: Vec<QueueId> = Vec::new();
        let mut returned: HashMap<QueueId, HashSet<u64>> = HashMap::new();
        for effect in effects {
            let queue = match *effect {
                Effect::Enqueued { queue, .. } => queue,
                Effect::Removed { queue, first, count } => {
                    if let Some(handout) = self.handouts.get_mut(&queue) {
                        (first..first + u64::from(count)).for_each(|message| handout.removed(message));
                    }
                    for doubt in self.doubts.values_mut() {
                        (first..first + u64::from(count)).for_each(|message| doubt.forget(queue, message));
                    }
                    queue
                }
                Effect::Returned { queue, holding, node } => {
                    let message = holding.message;
                    let let_go = self.handouts.get_mut(&queue).is_some_and(|handout| handout.returned(holding, node));
                    // Somebody else holds it by now.
                    if !let_go {
                        continue;
                    }
                    self.doubts.values_mut().for_each(|doubt| doubt.forget(queue, message));
                    if self.waiting.contains_key(&queue) {
                        returned.entry(queue).or_default().insert(message);
                    }
                    queue
                }
                Effect::Purged { queue, .. } => {
                    if let (Some(handout), Some(stored)) = (self.handouts.get_mut(&queue), machine.queue(queue)) {
                        handout.purged(stored);
                    }
                    queue
                }
                Effect::Deleted { queue } => {
                    self.waiting.remove(&queue);
                    for key in self.handouts.remove(&queue).iter().flat_map(Handout::keys) {
                        outlet.gone(key);
                    }
                    continue;
                }
            };
            if touched.last() != Some(&queue) {
                touched.push(queue);
            }
        }
        // Whoever was to get them, and still waits for their bodies, gets them no more: they are handed out anew.
        for (queue, returned) in returned {
            if let Some(waiting) = self.waiting.get_mut(&queue) {
                waiting.retain(|handed| !returned.contains(&handed.holding.message));
            }
        }
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// A node is to tell anew what its consumers hold: what was sent to it until now may not have come.
    pub(super) fn doubt(&mut self, node: NodeId, epoch: u64) {
        let waiting: HashSet<(QueueId, u64)> = self
            .waiting
            .iter()
            .flat_map(|(id, waiting)| waiting.iter().map(|handed| (*id, handed.holding.message)))
            .collect();
        let doubt = Doubt::new(epoch, node, &self.handouts, |queue, message| !waiting.contains(&(queue, message)));
        self.doubts.insert(node, doubt);
    }

    /// Hands out what is ready in a queue to whoever has room for it.
    pub(super) fn hand_out(&mut self, shard: u32, id: QueueId, machine: &ShardMachine, outlet: &dyn Outlet) {
        if !self.awaited.is_empty() {
            return;
        }
        let Some(handout) = self.handouts.get_mut(&id) else { return };
        let Some(queue) = machine.queue(id) else { return };
        let mut out: Vec<HandedOut> = Vec::new();
        handout.hand_out(queue, &mut out);
        if out.is_empty() {
            return;
        }
        tracing::trace!(shard, queue = id.get(), term = self.term, ?out, "hands out");
        // Behind what waits: consumers get messages in their order.
        self.waiting.entry(id).or_default().extend(out);
        self.pass_on(shard, id, machine, outlet);
    }

    /// These entries were read.
    pub(super) fn read(
        &mut self,
        shard: u32,
        entries: Vec<(u64, Option<Bytes>)>,
        machine: &ShardMachine,
        outlet: &dyn Outlet,
    ) {
        for (entry, bytes) in entries {
            self.reading.remove(&entry);
            if let Some(bytes) = bytes.filter(|_| machine.needs(entry)) {
                self.bodies.insert(entry, bytes);
            }
        }
        let queues: Vec<QueueId> = self.waiting.keys().copied().collect();
        queues.into_iter().for_each(|id| self.pass_on(shard, id, machine, outlet));
    }

    /// Passes on what was handed out and is in memory, up to the first that must be read.
    fn pass_on(&mut self, shard: u32, id: QueueId, machine: &ShardMachine, outlet: &dyn Outlet) {
        let (Some(waiting), Some(queue)) = (self.waiting.get_mut(&id), machine.queue(id)) else { return };
        let mut by_consumer: Vec<(ConsumerKey, Handed)> = Vec::new();
        let mut missing = None;
        while let Some(HandedOut { to, holding }) = waiting.front().copied() {
            let message = holding.message;
            // Settled or deleted meanwhile.
            let Some(place) = queue.place(message) else {
                waiting.pop_front();
                continue;
            };
            let Some(body) = self.bodies.message(machine, id, place) else {
                missing = Some(message);
                break;
            };
            waiting.pop_front();
            let item = (holding, body);
            match by_consumer.iter_mut().find(|(key, _)| *key == to) {
                Some((_, messages)) => messages.push(item),
                None => by_consumer.push((to, vec![item])),
            }
        }
        if let Some(message) = missing {
            let mut bytes = 0;
            let ahead = queue.entries_from(message).take(READ_AHEAD_ENTRIES).take_while(|(_, size)| {
                let before = bytes;
                bytes += size;
                before < READ_AHEAD_BYTES
            });
            let wanted = ahead.map(|(entry, _)| entry);
            let wanted: Vec<u64> =
                wanted.filter(|entry| !self.bodies.has(*entry) && self.reading.insert(*entry)).collect();
            if !wanted.is_empty() {
                outlet.read(shard, self.term, wanted);
            }
        } else {
            self.waiting.remove(&id);
        }
        for (to, messages) in by_consumer {
            let numbers = || messages.iter().map(|(holding, _)| holding.message).collect::<Vec<_>>();
            tracing::trace!(shard, queue = id.get(), term = self.term, ?to, messages = ?numbers(), "delivers");
            outlet.deliver(shard, self.term, to, id, messages);
        }
    }
}
