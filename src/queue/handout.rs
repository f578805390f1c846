//! Who gets which message now: a queue's consumers, and who holds what. Known to the leader only, and never replicated:
//! when the leader changes, the nodes tell the new one what their consumers hold.

use std::collections::{BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

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
    /// What may be under way to it.
    pub window: Window,
    /// A higher one is served first.
    pub priority: i32,
    /// No other may be there.
    pub exclusive: bool,
}

/// What may be under way to a consumer, and not passed on to its client, at a time. One message more may be, where the
/// bytes are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Window {
    /// The most deliveries.
    pub deliveries: u32,
    /// Bytes of messages at which no other follows.
    pub bytes: u64,
}

/// What is under way to a consumer, as its leader and its node count it each.
#[derive(Debug, Default)]
pub struct UnderWay {
    /// Bytes of each delivery, the first first.
    deliveries: VecDeque<u64>,
    bytes: u64,
}

impl UnderWay {
    /// A delivery of so many bytes follows.
    pub fn put(&mut self, bytes: u64) {
        self.deliveries.push_back(bytes);
        self.bytes += bytes;
    }

    /// The first so many were passed on to the client; gives their bytes. Those that were put under way elsewhere, by an
    /// earlier leader, are not known here and have none.
    pub fn passed_on(&mut self, deliveries: u32) -> u64 {
        let known = self.deliveries.len().min(deliveries as usize);
        let bytes = self.deliveries.drain(..known).sum();
        self.bytes -= bytes;
        bytes
    }

    fn leaves_room_in(&self, window: Window) -> bool {
        self.deliveries.len() < window.deliveries as usize && self.bytes < window.bytes
    }
}

/// A message as it was handed out. Where one leader hands it to one node twice, it came back in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Holding {
    /// Its number.
    pub message: u64,
    /// How often it had come back before.
    pub returns: u32,
}

/// A message that is to go to a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandedOut {
    /// Who gets it.
    pub to: ConsumerKey,
    /// What it gets.
    pub holding: Holding,
}

/// Who holds a message.
#[derive(Debug, Clone, Copy)]
struct Holder {
    key: ConsumerKey,
    returns: u32,
    /// It is gone, and the leader is about to return what it held.
    gone: bool,
}

#[derive(Debug)]
struct Attached {
    consumer: Consumer,
    held: u32,
    under_way: UnderWay,
}

impl Attached {
    fn has_room(&self) -> bool {
        self.under_way.leaves_room_in(self.consumer.window)
            && self.consumer.prefetch.is_none_or(|prefetch| self.held < u32::from(prefetch))
    }
}

/// The hand-outs of one queue.
#[derive(Debug, Default)]
pub struct Handout {
    /// Messages before this one were handed out at least once.
    cursor: u64,
    /// Messages before the cursor that are ready again.
    returned: BTreeSet<u64>,
    held: HashMap<u64, Holder>,
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
        let held = self.held.values().filter(|holder| holder.key == consumer.key).count();
        let at = self.consumers.partition_point(|other| other.consumer.priority >= consumer.priority);
        let held = u32::try_from(held).unwrap_or(u32::MAX);
        self.consumers.insert(at, Attached { consumer, held, under_way: UnderWay::default() });
        self.had_consumers = true;
        true
    }

    /// Detaches a consumer; what it holds stays held. Gives whether it was there.
    pub fn detach(&mut self, key: ConsumerKey) -> bool {
        let before = self.consumers.len();
        self.consumers.retain(|other| other.consumer.key != key);
        self.consumers.len() < before
    }

    /// A consumer says that it holds a message, or that it has given it back and does not know whether it is back. Leaves
    /// alone what another one holds.
    pub fn claim(&mut self, queue: &Queue, key: ConsumerKey, holding: Holding, given_back: bool) {
        let is_back = given_back && queue.returns(holding.message) != holding.returns;
        if queue.contains(holding.message) && !is_back && !self.held.contains_key(&holding.message) {
            self.hold(holding, key);
        }
    }

    /// So many deliveries were passed on: as many more may be put under way.
    pub fn grant(&mut self, key: ConsumerKey, deliveries: u32) {
        if let Some(found) = self.find(key) {
            found.under_way.passed_on(deliveries);
        }
    }

    /// Hands out what is ready to whoever has room, in order.
    pub fn hand_out(&mut self, queue: &Queue, out: &mut Vec<HandedOut>) {
        while let Some(at) = self.consumers.iter().position(Attached::has_room) {
            let Some(message) = self.next_ready(queue) else { break };
            let mut attached = self.consumers.remove(at);
            let to = attached.consumer.key;
            attached.under_way.put(queue.size(message));
            attached.held += 1;
            let priority = attached.consumer.priority;
            let end = self.consumers.partition_point(|other| other.consumer.priority >= priority);
            self.consumers.insert(end, attached);
            let holding = Holding { message, returns: queue.returns(message) };
            self.mark_held(holding, to);
            out.push(HandedOut { to, holding });
        }
    }

    /// Takes one message for a get.
    pub fn take(&mut self, queue: &Queue, key: ConsumerKey) -> Option<Holding> {
        let message = self.next_ready(queue)?;
        let holding = Holding { message, returns: queue.returns(message) };
        self.hold(holding, key);
        Some(holding)
    }

    /// What this get took already, where it asks again.
    #[must_use]
    pub fn taken(&self, key: ConsumerKey) -> Option<Holding> {
        self.holdings().find(|(_, holder)| holder.key == key).map(|(holding, _)| holding)
    }

    /// What consumers of a node hold.
    pub fn held_on(&self, node: u64) -> impl Iterator<Item = (Holding, ConsumerKey)> {
        self.holdings()
            .filter(move |(_, holder)| holder.key.node == node)
            .map(|(holding, holder)| (holding, holder.key))
    }

    fn holdings(&self) -> impl Iterator<Item = (Holding, Holder)> {
        self.held.iter().map(|(message, holder)| (Holding { message: *message, returns: holder.returns }, *holder))
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
    }

    /// All messages up to this one that nobody holds have left the queue.
    pub fn purged(&mut self, queue: &Queue) {
        self.returned.retain(|message| queue.contains(*message));
        self.held.retain(|message, _| queue.contains(*message));
    }

    /// A message that a node's consumer held was returned. It is ready again, and stays where it is if it was handed out
    /// since. Gives whether it is ready.
    pub fn returned(&mut self, holding: Holding, node: u64) -> bool {
        let message = holding.message;
        let is_held = |holder: &Holder| holder.key.node == node && holder.returns == holding.returns;
        if !self.held.get(&message).is_some_and(is_held) {
            return false;
        }
        self.let_go(message);
        if message < self.cursor {
            self.returned.insert(message);
        }
        true
    }

    /// Who held a message is gone, and the leader is to return it; it is held until then. Gives false where it is being
    /// returned already, or held otherwise.
    pub fn holder_gone(&mut self, holding: Holding) -> bool {
        let held = self.held.get_mut(&holding.message).filter(|holder| holder.returns == holding.returns);
        held.is_some_and(|holder| !std::mem::replace(&mut holder.gone, true))
    }

    /// A node is gone: so are its consumers. Gives what they held and is to be returned; it stays held until then.
    pub fn node_gone(&mut self, node: u64) -> Vec<Holding> {
        self.consumers.retain(|other| other.consumer.key.node != node);
        let mut held: Vec<Holding> = self.held_on(node).map(|(holding, _)| holding).collect();
        held.sort_unstable();
        held.retain(|holding| self.holder_gone(*holding));
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

    fn hold(&mut self, holding: Holding, key: ConsumerKey) {
        if let Some(found) = self.find(key) {
            found.held += 1;
        }
        self.mark_held(holding, key);
    }

    fn mark_held(&mut self, Holding { message, returns }: Holding, key: ConsumerKey) {
        self.returned.remove(&message);
        self.held.insert(message, Holder { key, returns, gone: false });
    }

    fn let_go(&mut self, message: u64) {
        let Some(holder) = self.held.remove(&message) else { return };
        if let Some(found) = self.find(holder.key) {
            found.held = found.held.saturating_sub(1);
        }
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

    fn unreturned(message: u64) -> Holding {
        Holding { message, returns: 0 }
    }

    fn consumer(key: ConsumerKey, prefetch: u16) -> Consumer {
        let window = Window { deliveries: 100, bytes: 1000 };
        Consumer { key, prefetch: Some(prefetch), window, priority: 0, exclusive: false }
    }

    fn handed(handout: &mut Handout, queue: &Queue) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        handout.hand_out(queue, &mut out);
        out.iter().map(|handed| (handed.to.node, handed.holding.message)).collect()
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
    fn a_window_is_full_at_its_deliveries_or_at_its_bytes() {
        let mut queue = queue(4);
        // Of three messages in one entry, the average counts: together they have the bytes that they have.
        for (ordinal, bytes) in [500, 100, 600].into_iter().enumerate() {
            queue.push(Place { entry: 4, ordinal: ordinal as u32 }, 0, bytes);
        }
        let mut handout = Handout::default();
        handout.attach(Consumer { window: Window { deliveries: 3, bytes: 500 }, ..consumer(A, 100) });
        assert_eq!(handed(&mut handout, &queue), [(1, 1), (1, 2), (1, 3)]);
        handout.grant(A, 1);
        assert_eq!(handed(&mut handout, &queue), [(1, 4)]);
        handout.grant(A, 3);
        assert_eq!(handed(&mut handout, &queue), [(1, 5), (1, 6)], "one byte, and then 400 each");
        handout.grant(A, 2);
        assert_eq!(handed(&mut handout, &queue), [(1, 7)]);
        handout.grant(A, 9);
        assert_eq!(handed(&mut handout, &queue), []);
    }

    #[test]
    fn a_returned_message_goes_out_before_later_ones() {
        let mut queue = queue(3);
        let mut handout = Handout::default();
        handout.attach(consumer(A, 2));
        assert_eq!(handed(&mut handout, &queue), [(1, 1), (1, 2)]);
        assert!(!handout.returned(unreturned(1), 2), "another node holds it");
        assert!(handout.returned(unreturned(1), 1));
        queue.count_return(1, 0);
        assert_eq!(handed(&mut handout, &queue), [(1, 1)]);
        assert!(!handout.returned(unreturned(1), 1), "it was handed out since");
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
        [2, 3, 9].into_iter().for_each(|message| handout.claim(&queue, B, unreturned(message), false));
        handout.attach(consumer(A, 10));
        assert_eq!(handed(&mut handout, &queue), [(1, 1), (1, 4)]);
        handout.claim(&queue, B, unreturned(1), false);
        assert_eq!(handout.held_on(2).count(), 2, "it is another's by now");
    }

    #[test]
    fn what_is_being_given_back_is_not_handed_out_before_it_is_back() {
        let mut queue = queue(2);
        queue.count_return(2, 0);
        let mut handout = Handout::default();
        [1, 2].into_iter().for_each(|message| handout.claim(&queue, B, unreturned(message), true));
        handout.attach(consumer(A, 10));
        assert_eq!(handed(&mut handout, &queue), [(1, 2)]);
        assert!(handout.returned(unreturned(1), 2));
        assert_eq!(handed(&mut handout, &queue), [(1, 1)]);
    }

    #[test]
    fn what_a_lost_node_held_comes_back_when_it_is_returned() {
        let queue = queue(2);
        let mut handout = Handout::default();
        handout.attach(consumer(A, 2));
        handed(&mut handout, &queue);
        assert_eq!(handout.node_gone(1), [1, 2].map(unreturned));
        assert!(handout.is_deserted());
        assert!(handout.node_gone(1).is_empty(), "they are being returned");
        assert!(handout.returned(unreturned(1), 1) && handout.returned(unreturned(2), 1));
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
