//! What a leader doubts of a node: what it handed out over a connection that has broken since may not have arrived.

use std::collections::{BTreeMap, HashMap, HashSet};

use ferrymq_queue::{ConsumerKey, Handout, QueueId};

use crate::link::Claims;

/// What a node is taken to hold, at the moment at which it was asked to tell anew.
pub(super) struct Doubt {
    /// Answers of this epoch settle it.
    epoch: u64,
    held: HashMap<(QueueId, u64), ConsumerKey>,
    attached: Vec<(QueueId, ConsumerKey)>,
}

/// What turned out not to be with the node.
pub(super) struct Missing {
    /// To be given back, by queue.
    pub(super) messages: BTreeMap<QueueId, Vec<u64>>,
    /// Consumers that are there no more.
    pub(super) consumers: Vec<(QueueId, ConsumerKey)>,
}

impl Doubt {
    /// Doubts what a node holds by these hand-outs, but for what was not sent yet.
    pub(super) fn new(
        epoch: u64,
        node: u64,
        handouts: &HashMap<QueueId, Handout>,
        is_sent: impl Fn(QueueId, u64) -> bool,
    ) -> Self {
        let mut doubt = Self { epoch, held: HashMap::new(), attached: Vec::new() };
        for (queue, handout) in handouts {
            let held = handout.held_on(node).filter(|(message, _)| is_sent(*queue, *message));
            doubt.held.extend(held.map(|(message, key)| ((*queue, message), key)));
            doubt.attached.extend(handout.keys().filter(|key| key.node == node).map(|key| (*queue, key)));
        }
        doubt
    }

    /// A message has left its queue, or is ready again: whoever holds it now is not in doubt.
    pub(super) fn forget(&mut self, queue: QueueId, message: u64) {
        self.held.remove(&(queue, message));
    }

    pub(super) fn is_settled_by(&self, claims: &Claims) -> bool {
        claims.epoch >= self.epoch
    }

    /// What the node does not have.
    pub(super) fn missing(self, claims: &Claims) -> Missing {
        let claimed = |(queue, consumer, messages): &(u64, u64, Vec<u64>)| {
            let (queue, consumer) = (*queue, *consumer);
            messages.iter().map(move |message| (queue, consumer, *message)).collect::<Vec<_>>()
        };
        let claimed: HashSet<(u64, u64, u64)> = claims.held.iter().flat_map(claimed).collect();
        let getting: HashSet<u64> = claims.getting.iter().copied().collect();
        let there: HashSet<u64> = claims.attachments.iter().map(|attachment| attachment.consumer).collect();
        let mut messages: BTreeMap<QueueId, Vec<u64>> = BTreeMap::new();
        for ((queue, message), key) in self.held {
            if !getting.contains(&key.consumer) && !claimed.contains(&(queue.get(), key.consumer, message)) {
                messages.entry(queue).or_default().push(message);
            }
        }
        messages.values_mut().for_each(|messages| messages.sort_unstable());
        let consumers = self.attached.into_iter().filter(|(_, key)| !there.contains(&key.consumer)).collect();
        Missing { messages, consumers }
    }
}
