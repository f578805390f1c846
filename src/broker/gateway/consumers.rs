//! Consumers of this node, and what they hold.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ferrymq_core::{ConsumerId, Delivery, DeliveryId, Event, EventSender, Settlement};
use ferrymq_queue::{Holding, QueueId, UnderWay, Window, decode_message};

use crate::{
    counters::Counters,
    link::{Attachment, Claimed, Claims},
    shard::Handed,
};

/// What is under way to one consumer at most, where its prefetch is not less.
pub(crate) const WINDOW: Window = Window { deliveries: 1024, bytes: 1 << 20 };
/// Grants are told when this much has gathered.
const GRANT_AT: Window = Window { deliveries: WINDOW.deliveries / 4, bytes: WINDOW.bytes / 4 };

/// Consumers of this node, and what is counted as messages pass.
#[derive(Debug, Default)]
pub(crate) struct Consumers {
    state: Mutex<State>,
    /// Consumers that are kept elsewhere.
    of_logs: AtomicU64,
    counters: Counters,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    consumers: HashMap<u64, Entry>,
    held: HashMap<QueueId, Held>,
    /// The shards of gets that are under way, by their numbers.
    getting: BTreeMap<u64, u32>,
    /// The term of the leader that each shard's consumers were made known to.
    terms: HashMap<u32, u64>,
}

#[derive(Debug)]
struct Entry {
    session: u64,
    channel: u16,
    events: EventSender,
    shard: u32,
    attachment: Attachment,
    under_way: UnderWay,
    /// Passed on, and not granted again yet.
    passed_on: Window,
}

impl Entry {
    /// So many deliveries were passed on; gives how many are to be granted, where it is time.
    fn passed_on(&mut self, deliveries: u32) -> Option<u32> {
        self.passed_on.bytes += self.under_way.passed_on(deliveries);
        self.passed_on.deliveries += deliveries;
        let prefetch = u32::from(self.attachment.prefetch.unwrap_or(u16::MAX));
        let is_time =
            self.passed_on.deliveries >= GRANT_AT.deliveries.min(prefetch) || self.passed_on.bytes >= GRANT_AT.bytes;
        is_time.then(|| std::mem::take(&mut self.passed_on).deliveries)
    }
}

#[derive(Debug)]
struct Held {
    shard: u32,
    messages: HashMap<u64, Hold>,
}

#[derive(Debug)]
struct Hold {
    /// The consumer, or the get.
    consumer: u64,
    session: u64,
    /// How often it had come back before.
    returns: u32,
    /// How it is being settled.
    settling: Option<Settlement>,
}

impl Hold {
    fn holding(&self, message: u64) -> Holding {
        Holding { message, returns: self.returns }
    }
}

impl Held {
    fn of(shard: u32) -> Self {
        Self { shard, messages: HashMap::new() }
    }

    /// A message came: it is held from now on, whatever was done with it before.
    fn hold(&mut self, Holding { message, returns }: Holding, consumer: u64, session: u64) {
        self.messages.insert(message, Hold { consumer, session, returns, settling: None });
    }
}

/// What a session leaves behind.
pub(crate) struct Left {
    /// Its consumers, with their shards and queues.
    pub(crate) consumers: Vec<(u64, u32, u64)>,
    /// What it holds, by shard and queue.
    pub(crate) held: Vec<(u32, QueueId, Vec<u64>)>,
}

/// A consumer to be.
pub(crate) struct NewConsumer {
    pub(crate) session: u64,
    pub(crate) channel: u16,
    pub(crate) events: EventSender,
    pub(crate) shard: u32,
    pub(crate) queue: QueueId,
    pub(crate) prefetch: Option<u16>,
    pub(crate) priority: i32,
    pub(crate) exclusive: bool,
}

impl Consumers {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many consumers there are, those included that are kept elsewhere.
    pub(crate) fn count(&self) -> u64 {
        self.state().consumers.len() as u64 + self.of_logs.load(Ordering::Relaxed)
    }

    /// A consumer that is kept elsewhere has come.
    pub(crate) fn came_elsewhere(&self) {
        self.of_logs.fetch_add(1, Ordering::Relaxed);
    }

    /// One of those has gone.
    pub(crate) fn gone_elsewhere(&self) {
        self.of_logs.fetch_sub(1, Ordering::Relaxed);
    }

    /// A number for a consumer that is kept elsewhere.
    pub(crate) fn next_number(&self) -> u64 {
        let mut state = self.state();
        state.last += 1;
        state.last
    }

    /// Makes a consumer, which is to be attached like this.
    pub(crate) fn add(&self, new: NewConsumer) -> Attachment {
        let mut state = self.state();
        state.last += 1;
        let consumer = state.last;
        let attachment = Attachment {
            queue: new.queue.get(),
            consumer,
            prefetch: new.prefetch,
            window: WINDOW,
            priority: new.priority,
            exclusive: new.exclusive,
        };
        let entry = Entry {
            session: new.session,
            channel: new.channel,
            events: new.events,
            shard: new.shard,
            attachment: attachment.clone(),
            under_way: UnderWay::default(),
            passed_on: Window::default(),
        };
        state.consumers.insert(consumer, entry);
        attachment
    }

    /// Removes a consumer; gives its shard and queue.
    pub(crate) fn remove(&self, consumer: u64) -> Option<(u32, u64)> {
        let entry = self.state().consumers.remove(&consumer)?;
        Some((entry.shard, entry.attachment.queue))
    }

    /// Consumers of queues, with their shards and queues.
    pub(crate) fn attached(&self) -> Vec<(u64, u32, u64)> {
        let state = self.state();
        state.consumers.iter().map(|(id, entry)| (*id, entry.shard, entry.attachment.queue)).collect()
    }

    /// Removes a session's consumers, and gives them; and what it holds.
    pub(crate) fn remove_session(&self, session: u64) -> Left {
        let mut state = self.state();
        let of_session = state.consumers.iter().filter(|(_, entry)| entry.session == session);
        let consumers: Vec<(u64, u32, u64)> =
            of_session.map(|(id, entry)| (*id, entry.shard, entry.attachment.queue)).collect();
        consumers.iter().for_each(|(id, ..)| {
            state.consumers.remove(id);
        });
        let mut held = Vec::new();
        for (queue, of_queue) in &state.held {
            let unsettled = of_queue.messages.iter().filter(|(_, hold)| hold.settling.is_none());
            let of_session = unsettled.filter(|(_, hold)| hold.session == session);
            let mut messages: Vec<u64> = of_session.map(|(message, _)| *message).collect();
            if !messages.is_empty() {
                messages.sort_unstable();
                held.push((of_queue.shard, *queue, messages));
            }
        }
        Left { consumers, held }
    }

    /// Messages for a consumer. Gives those that nobody takes, because it is gone: they are to be returned.
    pub(crate) fn deliver(&self, shard: u32, term: u64, consumer: u64, queue: QueueId, messages: Handed) -> Vec<u64> {
        let mut state = self.state();
        // From a leader that another one has followed: that one does not know of it, and hands it out itself.
        if state.terms.get(&shard).is_some_and(|known| *known > term) {
            return Vec::new();
        }
        let State { consumers, held, .. } = &mut *state;
        let held = held.entry(queue).or_insert_with(|| Held::of(shard));
        let entry = consumers.get_mut(&consumer);
        let session = entry.as_ref().map_or(0, |entry| entry.session);
        messages.iter().for_each(|(holding, _)| held.hold(*holding, consumer, session));
        let Some(entry) = entry else {
            return messages.into_iter().map(|(holding, _)| holding.message).collect();
        };
        let mut deliveries = Vec::with_capacity(messages.len());
        for (holding, bytes) in messages {
            let (number, size) = (holding.message, bytes.len() as u64);
            match decode_message(bytes) {
                Ok(message) => {
                    let id = DeliveryId { queue, message: number, reader: None };
                    deliveries.push(Delivery { id, redelivered: holding.returns > 0, message });
                    entry.under_way.put(size);
                }
                Err(error) => tracing::error!(%queue, number, %error, "a stored message cannot be read"),
            }
        }
        self.counters.delivered(&deliveries);
        let event = Event::Deliveries { channel: entry.channel, consumer: ConsumerId(consumer), deliveries };
        // The session may be going; what it holds goes back when it has gone.
        let _ = entry.events.send(event);
        Vec::new()
    }

    /// A get begins; gives its number.
    pub(crate) fn get_begins(&self, shard: u32) -> u64 {
        let mut state = self.state();
        state.last += 1;
        let number = state.last;
        state.getting.insert(number, shard);
        number
    }

    /// A get took a message from the leader of this term. Gives false where another one has followed that, which does not
    /// know of it: then nothing was taken.
    pub(crate) fn took(&self, number: u64, term: u64, queue: QueueId, holding: Holding, session: u64) -> bool {
        let mut state = self.state();
        let Some(shard) = state.getting.get(&number).copied() else { return false };
        if state.terms.get(&shard).is_some_and(|known| *known > term) {
            return false;
        }
        state.getting.remove(&number);
        state.held.entry(queue).or_insert_with(|| Held::of(shard)).hold(holding, number, session);
        true
    }

    /// A get has ended. Gives its shard where it is not known what it took.
    pub(crate) fn get_ends(&self, number: u64) -> Option<u32> {
        self.state().getting.remove(&number)
    }

    /// These messages are being settled. Gives those that are given back, as they were held.
    pub(crate) fn settling(&self, queue: QueueId, messages: &[u64], settlement: Settlement) -> Vec<Holding> {
        let mut state = self.state();
        let Some(held) = state.held.get_mut(&queue) else { return Vec::new() };
        let mut given_back = Vec::new();
        for message in messages {
            if let Some(hold) = held.messages.get_mut(message) {
                hold.settling = Some(settlement);
                if settlement == Settlement::Requeue {
                    given_back.push(hold.holding(*message));
                }
            }
        }
        given_back
    }

    /// These messages are settled. One that came again meanwhile is held anew, and stays so.
    pub(crate) fn release(&self, queue: QueueId, messages: &[u64]) {
        let mut state = self.state();
        let Some(held) = state.held.get_mut(&queue) else { return };
        for message in messages {
            if held.messages.get(message).is_some_and(|hold| hold.settling.is_some()) {
                held.messages.remove(message);
            }
        }
        if held.messages.is_empty() {
            state.held.remove(&queue);
        }
    }

    /// The shard of a queue of which something is held.
    pub(crate) fn shard_of(&self, queue: QueueId) -> Option<u32> {
        self.state().held.get(&queue).map(|held| held.shard)
    }

    /// A consumer passed on so many deliveries. Gives shard, queue and number, where it is time to tell the leader.
    pub(crate) fn passed_on(&self, consumer: u64, deliveries: u32) -> Option<(u32, u64, u32)> {
        let mut state = self.state();
        let entry = state.consumers.get_mut(&consumer)?;
        let granted = entry.passed_on(deliveries)?;
        Some((entry.shard, entry.attachment.queue, granted))
    }

    /// A consumer's queue is gone.
    pub(crate) fn gone(&self, consumer: u64) {
        if let Some(entry) = self.state().consumers.remove(&consumer) {
            let event = Event::ConsumerGone { channel: entry.channel, consumer: ConsumerId(consumer) };
            // The session may be going.
            let _ = entry.events.send(event);
        }
    }

    /// A shard's leader is to be told anew what is held.
    pub(crate) fn forget_leader(&self, shard: u32) {
        if let Some(term) = self.state().terms.get_mut(&shard) {
            *term = term.saturating_sub(1);
        }
    }

    /// What a leader of a shard is to know, in its epoch, or `None` where it was told.
    pub(crate) fn claims(&self, shard: u32, term: u64, epoch: u64) -> Option<Claims> {
        let mut state = self.state();
        let known = state.terms.entry(shard).or_default();
        if *known >= term {
            return None;
        }
        *known = term;
        let of_shard = state.consumers.values().filter(|entry| entry.shard == shard);
        let attachments = of_shard.map(|entry| entry.attachment.clone()).collect();
        let mut held = Vec::new();
        for (queue, of_queue) in state.held.iter().filter(|(_, held)| held.shard == shard) {
            let mut by_consumer: HashMap<u64, Vec<Claimed>> = HashMap::new();
            for (message, hold) in &of_queue.messages {
                let given_back = hold.settling == Some(Settlement::Requeue);
                let claimed = Claimed { holding: hold.holding(*message), given_back };
                by_consumer.entry(hold.consumer).or_default().push(claimed);
            }
            held.extend(by_consumer.into_iter().map(|(consumer, claimed)| (queue.get(), consumer, claimed)));
        }
        let getting = state.getting.iter().filter(|(_, of)| **of == shard).map(|(number, _)| *number).collect();
        Some(Claims { epoch, attachments, held, getting })
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use ferrymq_core::{ExchangeName, Message, Properties, RoutingKey};
    use ferrymq_queue::encode_message;

    use super::*;

    #[test]
    fn an_answer_to_giving_back_leaves_alone_what_came_again() {
        let (consumers, queue) = (Consumers::default(), QueueId::MIN);
        let take = |session| {
            let number = consumers.get_begins(1);
            assert!(consumers.took(number, 5, queue, Holding { message: 7, returns: 0 }, session));
        };
        take(3);
        consumers.settling(queue, &[7], Settlement::Requeue);
        take(4);
        consumers.release(queue, &[7]);
        assert_eq!(consumers.shard_of(queue), Some(1));
        consumers.settling(queue, &[7], Settlement::Accept);
        consumers.release(queue, &[7]);
        assert_eq!(consumers.shard_of(queue), None);
    }

    #[test]
    fn what_was_passed_on_is_granted_by_its_bytes_or_by_its_deliveries() {
        let (consumers, queue) = (Consumers::default(), QueueId::MIN);
        let (events, _events) = ferrymq_core::events();
        let new = NewConsumer {
            session: 1,
            channel: 1,
            events,
            shard: 1,
            queue,
            prefetch: None,
            priority: 0,
            exclusive: false,
        };
        let consumer = consumers.add(new).consumer;
        let deliver = |size: u64, count: u32| {
            let message = Message {
                exchange: ExchangeName::default_exchange(),
                routing_key: RoutingKey::new("q").unwrap(),
                properties: Properties::default(),
                body: Bytes::from(vec![0; usize::try_from(size).unwrap()]),
            };
            let mut bytes = BytesMut::new();
            encode_message(&message, &mut bytes);
            let handed = |message| (Holding { message, returns: 0 }, bytes.clone().freeze());
            consumers.deliver(1, 1, consumer, queue, (1..=u64::from(count)).map(handed).collect());
        };
        deliver(GRANT_AT.bytes / 2, 2);
        assert_eq!(consumers.passed_on(consumer, 1), None);
        assert_eq!(consumers.passed_on(consumer, 1), Some((1, queue.get(), 2)));
        deliver(1, GRANT_AT.deliveries);
        assert_eq!(consumers.passed_on(consumer, GRANT_AT.deliveries - 1), None);
        assert_eq!(consumers.passed_on(consumer, 1), Some((1, queue.get(), GRANT_AT.deliveries)));
    }
}
