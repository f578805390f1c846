//! Who gets which message now: a queue's consumers, and who holds what. Known to the leader only, and never replicated:
//! when the leader changes, the nodes tell the new one what their consumers hold.

use std::collections::{BTreeSet, HashMap};

use crate::Queue;

/// A consumer or a get: its node, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerKey {
    /// The node that its client is connected to.
    pub node: u64,
    /// Its number there. A get has one too, and holds what it took.
    pub consumer: u64,
}

/// A consumer, and how much more it may get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Who it is.
    pub key: ConsumerKey,
    /// The most that it may hold; no limit where there is none.
    pub prefetch: Option<u16>,
    /// Deliveries that may still be put under way.
    pub window: u32,
    /// A higher one is served first.
    pub priority: i32,
    /// No other may be there.
    pub exclusive: bool,
}

/// A message that is to go to a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandedOut {
    /// Who gets it.
    pub to: ConsumerKey,
    /// The message's number.
    pub message: u64,
}

#[derive(Debug)]
struct Attached {
    consumer: Consumer,
    held: u32,
}

impl Attached {
    fn has_room(&self) -> bool {
        self.consumer.window > 0 && self.consumer.prefetch.is_none_or(|prefetch| self.held < u32::from(prefetch))
    }
}

/// The hand-outs of one queue.
#[derive(Debug, Default)]
pub struct Handout {
    /// Messages before this one were handed out at least once.
    cursor: u64,
    /// Messages before the cursor that are ready again.
    returned: BTreeSet<u64>,
    held: HashMap<u64, ConsumerKey>,
    /// Held by who is gone, and about to be returned by the leader.
    returning: HashMap<u64, ConsumerKey>,
    /// By priority, the highest first; among equals, whoever was served longest ago first.
    consumers: Vec<Attached>,
    had_consumers: bool,
}

impl Handout {
    /// Attaches a consumer, or changes one that is attached.
    ///
    /// # Errors
    ///
    /// `false` inside: it wants the queue for itself and is not alone, or another one has it so.
    pub fn attach(&mut self, consumer: Consumer) -> bool {
        let others = || self.consumers.iter().filter(|other| other.consumer.key != consumer.key);
        if others().any(|other| other.consumer.exclusive) || (consumer.exclusive && others().count() > 0) {
            return false;
        }
        self.consumers.retain(|other| other.consumer.key != consumer.key);
        let held = self.held.values().filter(|holder| **holder == consumer.key).count();
        let at = self.consumers.partition_point(|other| other.consumer.priority >= consumer.priority);
        self.consumers.insert(at, Attached { consumer, held: u32::try_from(held).unwrap_or(u32::MAX) });
        self.had_consumers = true;
        true
    }

    /// Detaches a consumer; what it holds stays held. Gives whether it was there.
    pub fn detach(&mut self, key: ConsumerKey) -> bool {
        let before = self.consumers.len();
        self.consumers.retain(|other| other.consumer.key != key);
        self.consumers.len() < before
    }

    /// A consumer says that it holds these. Gives those that it does not hold: they are gone, or another's.
    pub fn claim(&mut self, queue: &Queue, key: ConsumerKey, messages: &[u64]) -> Vec<u64> {
        let mut lost = Vec::new();
        for message in messages {
            match self.held.get(message) {
                Some(holder) if *holder == key => {}
                None if queue.contains(*message) => self.hold(*message, key),
                _ => lost.push(*message),
            }
        }
        lost
    }

    /// More deliveries may be put under way.
    pub fn grant(&mut self, key: ConsumerKey, deliveries: u32) {
        if let Some(found) = self.find(key) {
            found.consumer.window = found.consumer.window.saturating_add(deliveries);
        }
    }

    /// Hands out what is ready to whoever has room, in order.
    pub fn hand_out(&mut self, queue: &Queue, out: &mut Vec<HandedOut>) {
        while let Some(at) = self.consumers.iter().position(Attached::has_room) {
            let Some(message) = self.next_ready(queue) else { break };
            let mut attached = self.consumers.remove(at);
            let to = attached.consumer.key;
            attached.consumer.window -= 1;
            attached.held += 1;
            let priority = attached.consumer.priority;
            let end = self.consumers.partition_point(|other| other.consumer.priority >= priority);
            self.consumers.insert(end, attached);
            self.mark_held(message, to);
            out.push(HandedOut { to, message });
        }
    }

    /// Takes one message for a get.
    pub fn take(&mut self, queue: &Queue, key: ConsumerKey) -> Option<u64> {
        let message = self.next_ready(queue)?;
        self.hold(message, key);
        Some(message)
    }

    /// What this get took already, where it asks again.
    #[must_use]
    pub fn taken(&self, key: ConsumerKey) -> Option<u64> {
        self.held.iter().find(|(_, holder)| **holder == key).map(|(message, _)| *message)
    }

    /// Who holds a message.
    #[must_use]
    pub fn holder(&self, message: u64) -> Option<ConsumerKey> {
        self.held.get(&message).copied()
    }

    /// What consumers of a node hold.
    pub fn held_on(&self, node: u64) -> impl Iterator<Item = (u64, ConsumerKey)> {
        self.held.iter().filter(move |(_, holder)| holder.node == node).map(|(message, holder)| (*message, *holder))
    }

    /// Messages that somebody holds, in order.
    #[must_use]
    pub fn held(&self) -> Vec<u64> {
        let mut held: Vec<u64> = self.held.keys().copied().collect();
        held.sort_unstable();
        held
    }

    /// A message has left the queue.
    pub fn removed(&mut self, message: u64) {
        self.let_go(message);
        self.returned.remove(&message);
        self.returning.remove(&message);
    }

    /// All messages up to this one that nobody holds have left the queue.
    pub fn purged(&mut self, queue: &Queue) {
        self.returned.retain(|message| queue.contains(*message));
        self.held.retain(|message, _| queue.contains(*message));
        self.returning.retain(|message, _| queue.contains(*message));
    }

    /// A message was returned by a node. It is ready again where that node holds it, or who held it is gone; where it was
    /// handed out anew since, it stays with who holds it now. Gives whether it is ready.
    pub fn returned(&mut self, message: u64, by: u64) -> bool {
        let gone = self.returning.remove(&message);
        let holder = self.held.get(&message).copied();
        if !holder.is_some_and(|holder| holder.node == by || Some(holder) == gone) {
            return false;
        }
        self.let_go(message);
        if message < self.cursor {
            self.returned.insert(message);
        }
        true
    }

    /// Who held a message is gone, and the leader is to return it; it is held until then. Gives false where it is being
    /// returned already.
    pub fn returning(&mut self, message: u64) -> bool {
        let Some(holder) = self.held.get(&message) else { return false };
        self.returning.insert(message, *holder) != Some(*holder)
    }

    /// A node is gone: so are its consumers. Gives what they held and is to be returned; it stays held until then.
    pub fn node_gone(&mut self, node: u64) -> Vec<u64> {
        self.consumers.retain(|other| other.consumer.key.node != node);
        let mut held: Vec<u64> =
            self.held.iter().filter(|(_, holder)| holder.node == node).map(|(message, _)| *message).collect();
        held.sort_unstable();
        held.retain(|message| self.returning(*message));
        held
    }

    /// Consumers that are attached.
    #[must_use]
    pub fn consumers(&self) -> usize {
        self.consumers.len()
    }

    /// Who is attached.
    pub fn keys(&self) -> impl Iterator<Item = ConsumerKey> {
        self.consumers.iter().map(|attached| attached.consumer.key)
    }

    /// There were consumers, and there are none any more.
    #[must_use]
    pub fn is_deserted(&self) -> bool {
        self.had_consumers && self.consumers.is_empty()
    }

    /// Messages that nobody holds.
    #[must_use]
    pub fn ready(&self, queue: &Queue) -> u64 {
        queue.len().saturating_sub(self.held.len() as u64)
    }

    fn find(&mut self, key: ConsumerKey) -> Option<&mut Attached> {
        self.consumers.iter_mut().find(|attached| attached.consumer.key == key)
    }

    fn hold(&mut self, message: u64, key: ConsumerKey) {
        if let Some(found) = self.find(key) {
            found.held += 1;
        }
        self.mark_held(message, key);
    }

    fn mark_held(&mut self, message: u64, key: ConsumerKey) {
        self.returned.remove(&message);
        self.held.insert(message, key);
    }

    fn let_go(&mut self, message: u64) -> bool {
        let Some(key) = self.held.remove(&message) else { return false };
        if let Some(found) = self.find(key) {
            found.held = found.held.saturating_sub(1);
        }
        true
    }

    fn next_ready(&mut self, queue: &Queue) -> Option<u64> {
        if let Some(message) = self.returned.pop_first() {
            return Some(message);
        }
        loop {
            let message = queue.next(self.cursor)?;
            self.cursor = message + 1;
            if !self.held.contains_key(&message) {
                return Some(message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Place;

    const A: ConsumerKey = ConsumerKey { node: 1, consumer: 1 };
    const B: ConsumerKey = ConsumerKey { node: 2, consumer: 1 };

    fn queue(messages: u64) -> Queue {
        let mut queue = Queue::default();
        (0..messages).for_each(|entry| {
            queue.push(Place { entry, ordinal: 0 }, 0, 1);
        });
        queue
    }

    fn consumer(key: ConsumerKey, prefetch: u16) -> Consumer {
        Consumer { key, prefetch: Some(prefetch), window: 100, priority: 0, exclusive: false }
    }

    fn handed(handout: &mut Handout, queue: &Queue) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        handout.hand_out(queue, &mut out);
        out.iter().map(|handed| (handed.to.node, handed.message)).collect()
    }

    #[test]
    fn consumers_take_turns_up_to_their_prefetch() {
        let queue = queue(10);
        let mut handout = Handout::default();
        assert!(handout.attach(consumer(A, 2)));
        assert!(handout.attach(consumer(B, 3)));
        assert_eq!(handed(&mut handout, &queue), [(1, 1), (2, 2), (1, 3), (2, 4), (2, 5)]);
        assert_eq!(handout.ready(&queue), 5);
    }

    #[test]
    fn a_settled_message_makes_room_for_the_next() {
        let mut queue = queue(3);
        let mut handout = Handout::default();
        handout.attach(consumer(A, 1));
        assert_eq!(handed(&mut handout, &queue), [(1, 1)]);
        queue.remove(1);
        handout.removed(1);
        assert_eq!(handed(&mut handout, &queue), [(1, 2)]);
    }

    #[test]
    fn a_returned_message_goes_out_before_later_ones() {
        let queue = queue(3);
        let mut handout = Handout::default();
        handout.attach(consumer(A, 2));
        assert_eq!(handed(&mut handout, &queue), [(1, 1), (1, 2)]);
        assert!(handout.returned(1, 1));
        assert_eq!(handed(&mut handout, &queue), [(1, 1)]);
        assert!(!handout.returned(1, 2), "it is another node's now");
        assert_eq!(handed(&mut handout, &queue), []);
    }

    #[test]
    fn a_higher_priority_is_served_first() {
        let queue = queue(3);
        let mut handout = Handout::default();
        handout.attach(consumer(A, 10));
        handout.attach(Consumer { priority: 5, ..consumer(B, 2) });
        assert_eq!(handed(&mut handout, &queue), [(2, 1), (2, 2), (1, 3)]);
    }

    #[test]
    fn what_a_consumer_claims_after_a_change_of_leader_is_not_handed_out_again() {
        let queue = queue(4);
        let mut handout = Handout::default();
        assert_eq!(handout.claim(&queue, B, &[2, 3, 9]), [9]);
        handout.attach(consumer(A, 10));
        assert_eq!(handed(&mut handout, &queue), [(1, 1), (1, 4)]);
        assert_eq!(handout.claim(&queue, B, &[1]), [1]);
    }

    #[test]
    fn what_a_lost_node_held_comes_back_when_it_is_returned() {
        let queue = queue(2);
        let mut handout = Handout::default();
        handout.attach(consumer(A, 2));
        handed(&mut handout, &queue);
        assert_eq!(handout.node_gone(1), [1, 2]);
        assert!(handout.is_deserted());
        assert!(handout.returned(1, 9) && handout.returned(2, 9));
        handout.attach(consumer(B, 5));
        assert_eq!(handed(&mut handout, &queue), [(2, 1), (2, 2)]);
    }

    #[test]
    fn an_exclusive_consumer_is_alone() {
        let mut handout = Handout::default();
        assert!(handout.attach(Consumer { exclusive: true, ..consumer(A, 1) }));
        assert!(!handout.attach(consumer(B, 1)));
    }
}
