//! The replicated machine of a shard, and the hand-outs while this replica leads.

use std::{collections::BTreeSet, io, sync::Arc};

use bytes::Bytes;
use ferrymq_pages::PageStore;
use ferrymq_queue::{
    Consumer, ConsumerKey, Effects, Handout, Holding, Moment, Place, QueueId, SavedShard, ShardMachine,
};
use ferrymq_replication::{Applied, Machine, NodeId, State, StateReader};

use super::{lead::Lead, logs::Logs};
use crate::{
    link::{Attachment, Claims, GetReply, QueueCounts},
    node::QueueTotals,
};

/// Messages as they are handed out, each encoded.
pub(crate) type Handed = Vec<(Holding, Bytes)>;

/// Where a leader's effects go. Called with the shard locked: must not wait, nor come back to the shard.
pub(crate) trait Outlet: Send + Sync + 'static {
    /// Messages for a consumer.
    fn deliver(&self, shard: u32, term: u64, to: ConsumerKey, queue: QueueId, messages: Handed);

    /// Entries of the log are to be read, and given to [`ShardState::read`].
    fn read(&self, shard: u32, term: u64, entries: Vec<u64>);

    /// A consumer's queue is gone.
    fn gone(&self, to: ConsumerKey);

    /// The last consumer of a queue has gone.
    fn deserted(&self, queue: QueueId);
}

/// What a node was taken to hold and has lost; whoever leads in this term takes it back.
pub(crate) struct Lost {
    pub(crate) node: NodeId,
    pub(crate) term: u64,
    pub(crate) held: Vec<(QueueId, Vec<Holding>)>,
}

/// What a get took.
pub(crate) enum Taken {
    /// There was nothing.
    Nothing,
    /// A message, with its content.
    Message(GetReply),
    /// A message, whose content is to be read from here.
    Elsewhere(GetReply, Place),
}

/// A shard's state on this node.
pub(crate) struct ShardState {
    shard: u32,
    machine: ShardMachine,
    lead: Option<Lead>,
    pub(super) logs: Logs,
    outlet: Arc<dyn Outlet>,
}

impl ShardState {
    pub(crate) fn new(shard: u32, outlet: Arc<dyn Outlet>, pages: Option<Arc<dyn PageStore>>) -> Self {
        Self { shard, machine: ShardMachine::new(pages), lead: None, logs: Logs::default(), outlet }
    }

    pub(crate) fn machine(&self) -> &ShardMachine {
        &self.machine
    }

    pub(super) fn machine_and_logs(&mut self) -> (&ShardMachine, &mut Logs) {
        (&self.machine, &mut self.logs)
    }

    pub(super) fn is_leading(&self) -> bool {
        self.lead.is_some()
    }

    /// This replica leads from now on; these nodes are to say first what they hold.
    pub(crate) fn lead(&mut self, term: u64, awaited: BTreeSet<NodeId>) {
        self.lead = Some(Lead::new(term, awaited));
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

    /// A node is to tell anew what its consumers hold, in this epoch.
    pub(crate) fn doubt(&mut self, node: NodeId, epoch: u64) {
        if let Some(lead) = &mut self.lead {
            lead.doubt(node, epoch);
        }
    }

    /// A node tells what its consumers hold. Gives what it was taken to hold and does not.
    pub(crate) fn claim(&mut self, node: NodeId, term: u64, claims: Claims) -> Option<Lost> {
        let lead = self.lead.as_mut().filter(|lead| lead.term == term)?;
        tracing::trace!(shard = self.shard, node, term, ?claims, "is told");
        let doubt = lead.doubts.remove(&node);
        let (settled, open): (Option<_>, Option<_>) = match doubt {
            Some(doubt) if doubt.is_settled_by(&claims) => (Some(doubt.missing(&claims)), None),
            doubt => (None, doubt),
        };
        lead.doubts.extend(open.map(|doubt| (node, doubt)));
        for (queue, consumer, held) in claims.held {
            let Some((id, queue)) = find(&self.machine, queue) else { continue };
            let key = ConsumerKey { node, consumer };
            let handout = lead.handouts.entry(id).or_default();
            held.iter().for_each(|claimed| handout.claim(queue, key, claimed.holding, claimed.given_back));
        }
        for attachment in claims.attachments {
            let Some((id, _)) = find(&self.machine, attachment.queue) else {
                self.outlet.gone(ConsumerKey { node, consumer: attachment.consumer });
                continue;
            };
            lead.handouts.entry(id).or_default().attach(consumer_of(node, &attachment));
        }
        lead.awaited.remove(&node);
        let mut lost = Lost { node, term, held: Vec::new() };
        if let Some(settled) = settled {
            settled.consumers.into_iter().for_each(|(queue, key)| self.detach(key, queue.get()));
            for (queue, mut held) in settled.held {
                if let Some(handout) = self.lead.as_mut().and_then(|lead| lead.handouts.get_mut(&queue)) {
                    held.retain(|holding| handout.holder_gone(*holding));
                    lost.held.push((queue, held));
                }
            }
        }
        self.hand_out_all();
        Some(lost)
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

    /// Takes a message for a get; `None` where this replica does not lead. A get that asks again is given what it took.
    pub(crate) fn get(&mut self, key: ConsumerKey, queue: u64, again: bool) -> Option<Taken> {
        let lead = self.lead.as_mut()?;
        if !lead.awaited.is_empty() {
            return None;
        }
        let Some((id, queue)) = find(&self.machine, queue) else { return Some(Taken::Nothing) };
        let handout = lead.handouts.entry(id).or_default();
        let taken = handout.taken(key).filter(|_| again).or_else(|| handout.take(queue, key));
        let remaining = handout.ready(queue);
        tracing::trace!(shard = self.shard, ?key, again, ?taken, "a get takes");
        let Some((holding, place)) = taken.and_then(|holding| Some((holding, queue.place(holding.message)?))) else {
            return Some(Taken::Nothing);
        };
        let term = lead.term;
        let reply = |bytes| GetReply { term, holding, bytes, remaining };
        Some(match lead.bodies.message(&self.machine, id, place) {
            Some(bytes) => Taken::Message(reply(bytes.to_vec())),
            None => Taken::Elsewhere(reply(Vec::new()), place),
        })
    }

    /// These entries of the log were read, for the leader of this term.
    pub(crate) fn read(&mut self, term: u64, entries: Vec<(u64, Option<Bytes>)>) {
        if let Some(lead) = self.lead.as_mut().filter(|lead| lead.term == term) {
            lead.read(self.shard, entries, &self.machine, &*self.outlet);
        }
    }

    /// What a purge of a queue is to remove: up to which message, which not, and how many; `None` where this replica does
    /// not lead.
    pub(crate) fn purge(&mut self, queue: u64) -> Option<(u64, Vec<u64>, u64)> {
        let lead = self.lead.as_mut()?;
        let Some((id, queue)) = find(&self.machine, queue) else { return Some((0, Vec::new(), 0)) };
        let handout = lead.handouts.entry(id).or_default();
        Some((queue.last(), handout.held(), handout.ready(queue)))
    }

    /// Counts queues; `None` where this replica does not lead.
    pub(crate) fn count(&self, queues: &[u64]) -> Option<Vec<QueueCounts>> {
        let lead = self.lead.as_ref()?;
        let count = |queue: &u64| {
            let Some((id, queue)) = find(&self.machine, *queue) else { return QueueCounts::default() };
            let handout = lead.handouts.get(&id);
            QueueCounts {
                ready: handout.map_or(queue.len(), |handout| handout.ready(queue)),
                messages: queue.len(),
                consumers: u32::try_from(handout.map_or(0, Handout::consumers)).unwrap_or(u32::MAX),
            }
        };
        Some(queues.iter().map(count).collect())
    }

    /// Adds all queues, where this replica leads.
    pub(crate) fn add_to(&self, totals: &mut QueueTotals, is_log: impl Fn(QueueId) -> bool) {
        let Some(lead) = &self.lead else { return };
        for (id, queue) in self.machine.queues() {
            if is_log(id) {
                totals.logs += 1;
                totals.log_messages += queue.len();
                totals.log_bytes += queue.bytes();
                continue;
            }
            let ready = lead.handouts.get(&id).map_or(queue.len(), |handout| handout.ready(queue));
            totals.queues += 1;
            totals.ready += ready;
            totals.unacknowledged += queue.len().saturating_sub(ready);
            totals.bytes += queue.bytes();
        }
    }

    /// A node is gone, and so are its consumers: gives what they held.
    pub(crate) fn node_gone(&mut self, node: NodeId) -> Option<Lost> {
        let lead = self.lead.as_mut()?;
        let mut lost = Lost { node, term: lead.term, held: Vec::new() };
        for (id, handout) in &mut lead.handouts {
            let had = handout.consumers() > 0;
            let messages = handout.node_gone(node);
            if !messages.is_empty() {
                lost.held.push((*id, messages));
            }
            if had && handout.is_deserted() {
                self.outlet.deserted(*id);
            }
        }
        lead.awaited.remove(&node);
        lead.doubts.remove(&node);
        self.hand_out_all();
        Some(lost)
    }

    fn hand_out_all(&mut self) {
        let Some(lead) = &self.lead else { return };
        let queues: Vec<QueueId> = lead.handouts.keys().copied().collect();
        queues.into_iter().for_each(|queue| self.hand_out(queue));
    }

    fn hand_out(&mut self, id: QueueId) {
        if let Some(lead) = &mut self.lead {
            lead.hand_out(self.shard, id, &self.machine, &*self.outlet);
        }
    }
}

impl Machine for ShardState {
    fn apply(&mut self, at: Applied, command: Bytes, freed: &mut Vec<u64>) -> Bytes {
        let mut effects = Effects::default();
        let reply =
            self.machine.apply(Moment { entry: at.index, term: at.term, time: at.time }, command.clone(), &mut effects);
        self.logs.follow(at.index, &command, &effects, &self.machine);
        if let Some(lead) = &mut self.lead {
            lead.bodies.forget(&effects.freed);
            if self.machine.needs(at.index) {
                lead.bodies.insert(at.index, command);
            }
            for queue in lead.follow(&effects.happened, &self.machine, &*self.outlet) {
                lead.hand_out(self.shard, queue, &self.machine, &*self.outlet);
            }
        }
        *freed = effects.freed;
        reply
    }

    fn needs(&self, index: u64) -> bool {
        self.machine.needs(index)
    }

    fn distil(&self, index: u64, command: Bytes) -> Bytes {
        // What cannot be read put nothing into any queue.
        self.machine.distil(index, command).unwrap_or_default()
    }

    fn snapshot(&self) -> Box<dyn State> {
        Box::new(Saved(self.machine.save()))
    }

    fn restore(&mut self, from: &mut StateReader) -> Result<(), String> {
        let pages = self.machine.pages();
        self.machine = ShardMachine::restore(from, pages).map_err(|error| error.to_string())?;
        self.logs.restored();
        Ok(())
    }
}

struct Saved(SavedShard);

impl State for Saved {
    fn write(&self, pass: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.0.write(pass)
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::BytesMut;
    use ferrymq_core::{ExchangeName, Message, Properties, RoutingKey};
    use ferrymq_queue::{CommandWriter, Request, Window, encode_request};

    use super::*;

    const QUEUE: QueueId = QueueId::MIN;

    #[derive(Default)]
    struct Told {
        delivered: Mutex<Vec<(u64, u64, bool)>>,
        read: Mutex<Vec<u64>>,
    }

    impl Outlet for Told {
        fn deliver(&self, _: u32, _: u64, to: ConsumerKey, _: QueueId, messages: Handed) {
            let delivered = messages.into_iter().map(|(held, _)| (to.node, held.message, held.returns > 0));
            self.delivered.lock().unwrap().extend(delivered);
        }

        fn read(&self, _: u32, _: u64, entries: Vec<u64>) {
            self.read.lock().unwrap().extend(entries);
        }

        fn gone(&self, _: ConsumerKey) {}

        fn deserted(&self, _: QueueId) {}
    }

    fn apply(state: &mut ShardState, index: u64, write: impl FnOnce(&mut CommandWriter)) -> Bytes {
        let (mut writer, mut out) = (CommandWriter::default(), BytesMut::new());
        write(&mut writer);
        encode_request(&Request { node: 1, session: 1, sequence: index, commands: writer.take() }, &mut out);
        let command = out.freeze();
        state.apply(Applied { index, term: 1, time: 1 }, command.clone(), &mut Vec::new());
        command
    }

    fn attachment(consumer: u64) -> Attachment {
        Attachment {
            queue: QUEUE.get(),
            consumer,
            prefetch: Some(1),
            window: Window { deliveries: 10, bytes: 1000 },
            priority: 0,
            exclusive: false,
        }
    }

    #[test]
    fn a_message_that_is_returned_while_its_body_is_read_goes_only_to_who_gets_it_then() {
        let told = Arc::new(Told::default());
        let mut state = ShardState::new(1, told.clone(), None);
        apply(&mut state, 1, |commands| commands.create(QUEUE));
        let message = Message {
            exchange: ExchangeName::default_exchange(),
            routing_key: RoutingKey::new("q").unwrap(),
            properties: Properties::default(),
            body: Bytes::from_static(b"m"),
        };
        let entry = apply(&mut state, 2, |commands| commands.enqueue(QUEUE, &message));
        // It leads only now: it has no entry in memory.
        state.lead(1, BTreeSet::new());
        state.attach(2, &attachment(7)).unwrap();
        assert_eq!(*told.read.lock().unwrap(), [2]);
        let lost = state.node_gone(2).unwrap();
        assert_eq!(lost.held, [(QUEUE, vec![Holding { message: 1, returns: 0 }])]);
        apply(&mut state, 3, |commands| commands.take_back(QUEUE, 2, &lost.held[0].1, lost.term));
        state.attach(3, &attachment(8)).unwrap();
        state.read(1, vec![(2, Some(entry))]);
        assert_eq!(*told.delivered.lock().unwrap(), [(3, 1, true)]);
    }
}
