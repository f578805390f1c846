//! What a leader doubts of a node: what it handed out over a connection that has broken since may not have arrived.

use std::collections::{BTreeMap, HashMap, HashSet};

use ferrymq_queue::{ConsumerKey, Handout, Holding, QueueId};

use crate::link::Claims;

/// What a node is taken to hold, at the moment at which it was asked to tell anew.
pub(super) struct Doubt {
    /// Answers of this epoch settle it.
    epoch: u64,
    held: HashMap<(QueueId, u64), (u32, ConsumerKey)>,
    attached: Vec<(QueueId, ConsumerKey)>,
}

/// What turned out not to be with the node.
pub(super) struct Missing {
    /// To be given back, by queue.
    pub(super) held: BTreeMap<QueueId, Vec<Holding>>,
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
            let held = handout.held_on(node).filter(|(holding, _)| is_sent(*queue, holding.message));
            doubt.held.extend(held.map(|(held, key)| ((*queue, held.message), (held.returns, key))));
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
        let claimed = claims
            .held
            .iter()
            .flat_map(|(queue, consumer, held)| held.iter().map(move |claimed| (*queue, *consumer, claimed.holding)));
        let claimed: HashSet<(u64, u64, Holding)> = claimed.collect();
        let getting: HashSet<u64> = claims.getting.iter().copied().collect();
        let there: HashSet<u64> = claims.attachments.iter().map(|attachment| attachment.consumer).collect();
        let mut held: BTreeMap<QueueId, Vec<Holding>> = BTreeMap::new();
        for ((queue, message), (returns, key)) in self.held {
            let holding = Holding { message, returns };
            if !getting.contains(&key.consumer) && !claimed.contains(&(queue.get(), key.consumer, holding)) {
                held.entry(queue).or_default().push(holding);
            }
        }
        held.values_mut().for_each(|held| held.sort_unstable());
        let consumers = self.attached.into_iter().filter(|(_, key)| !there.contains(&key.consumer)).collect();
        Missing { held, consumers }
    }
}
