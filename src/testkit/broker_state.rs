//! What the broker in memory knows: exchanges, queues, bindings, consumers.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    num::NonZeroU64,
};

use ferrymq_core::{
    BindingDeclaration, Confirmation, ConsumerId, Delivery, DeliveryId, Event, EventSender, ExchangeDeclaration,
    ExchangeKind, ExchangeName, Kind, Message, QueueDeclaration, QueueName, Refusal, Settlement, Subscription, Tag,
};
use tokio::sync::watch;

/// Deliveries that a consumer may have under way.
const WINDOW: u32 = 256;

pub(crate) type SessionNumber = u64;

#[derive(Debug)]
pub(crate) struct Stored {
    place: u64,
    redelivered: bool,
    message: Message,
}

#[derive(Debug)]
pub(crate) struct HandedOut {
    session: SessionNumber,
    consumer: Option<ConsumerId>,
    stored: Stored,
}

#[derive(Debug)]
pub(crate) struct Queue {
    number: NonZeroU64,
    declaration: QueueDeclaration,
    owner: Option<SessionNumber>,
    next_place: u64,
    pub(crate) ready: VecDeque<Stored>,
    pub(crate) handed_out: BTreeMap<u64, HandedOut>,
    /// In the order of their turns.
    consumers: Vec<ConsumerId>,
}

#[derive(Debug)]
struct Consumer {
    session: SessionNumber,
    subscription: Subscription,
    window: u32,
    unsettled: u16,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) sessions: HashMap<SessionNumber, EventSender>,
    exchanges: BTreeMap<ExchangeName, ExchangeDeclaration>,
    pub(crate) queues: BTreeMap<QueueName, Queue>,
    bindings: Vec<BindingDeclaration>,
    consumers: BTreeMap<ConsumerId, Consumer>,
    next_number: u64,
    pub(crate) held_confirms: Option<Vec<(SessionNumber, Tag, Confirmation)>>,
    pub(crate) rejecting: HashSet<QueueName>,
    pub(crate) changes: watch::Sender<()>,
}

pub(crate) fn not_found(kind: Kind, name: &str) -> Refusal {
    Refusal::NotFound { kind, name: name.to_owned(), virtual_host: "/".to_owned() }
}

fn inequivalent(kind: Kind, name: &str, argument: &'static str, received: String, current: String) -> Refusal {
    Refusal::Inequivalent { kind, name: name.to_owned(), virtual_host: "/".to_owned(), argument, received, current }
}

impl State {
    pub(crate) fn new() -> Self {
        use ExchangeKind::{Direct, Fanout, Topic};
        let exchanges = [("", Direct), ("amq.direct", Direct), ("amq.fanout", Fanout), ("amq.topic", Topic)]
            .into_iter()
            .filter_map(|(name, kind)| {
                let name = ExchangeName::new(name).ok()?;
                let exchange = ExchangeDeclaration {
                    name: name.clone(),
                    kind,
                    durable: true,
                    auto_delete: false,
                    internal: false,
                };
                Some((name, exchange))
            })
            .collect();
        Self {
            sessions: HashMap::new(),
            exchanges,
            queues: BTreeMap::new(),
            bindings: Vec::new(),
            consumers: BTreeMap::new(),
            next_number: 0,
            held_confirms: None,
            rejecting: HashSet::new(),
            changes: watch::Sender::new(()),
        }
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn changed(&self) {
        self.changes.send_replace(());
    }

    pub(crate) fn open(&mut self, events: EventSender) -> SessionNumber {
        let number = self.number();
        self.sessions.insert(number, events);
        self.changed();
        number
    }

    pub(crate) fn close(&mut self, session: SessionNumber) {
        self.sessions.remove(&session);
        let gone: Vec<_> =
            self.consumers.iter().filter(|(_, consumer)| consumer.session == session).map(|(id, _)| *id).collect();
        for consumer in gone {
            self.cancel(consumer);
        }
        let names: Vec<_> = self.queues.keys().cloned().collect();
        for name in names {
            let Some(queue) = self.queues.get_mut(&name) else { continue };
            if queue.owner == Some(session) {
                self.remove_queue(&name);
                continue;
            }
            let held: Vec<_> = queue
                .handed_out
                .iter()
                .filter(|(_, handed_out)| handed_out.session == session)
                .map(|(place, _)| DeliveryId { queue: queue.number, message: *place, reader: None })
                .collect();
            self.settle(&held, Settlement::Requeue);
        }
        self.changed();
    }

    pub(crate) fn declare_exchange(&mut self, wanted: ExchangeDeclaration) -> Result<(), Refusal> {
        let name = wanted.name.as_str();
        let Some(current) = self.exchanges.get(&wanted.name) else {
            if name.starts_with("amq.") {
                let reason = format!("exchange name '{name}' contains reserved prefix 'amq.*'");
                return Err(Refusal::Forbidden { reason });
            }
            self.exchanges.insert(wanted.name.clone(), wanted);
            return Ok(());
        };
        if current.kind != wanted.kind {
            return Err(inequivalent(Kind::Exchange, name, "type", wanted.kind.to_string(), current.kind.to_string()));
        }
        let pairs = [
            ("durable", wanted.durable, current.durable),
            ("auto_delete", wanted.auto_delete, current.auto_delete),
            ("internal", wanted.internal, current.internal),
        ];
        equivalent(Kind::Exchange, name, pairs)
    }

    pub(crate) fn check_exchange(&self, name: &ExchangeName) -> Result<(), Refusal> {
        match self.exchanges.contains_key(name) {
            true => Ok(()),
            false => Err(not_found(Kind::Exchange, name.as_str())),
        }
    }

    pub(crate) fn delete_exchange(&mut self, name: &ExchangeName, if_unused: bool) -> Result<(), Refusal> {
        if if_unused && self.bindings.iter().any(|binding| binding.source == *name) {
            let (kind, name) = (Kind::Exchange, name.to_string());
            return Err(Refusal::InUse { kind, name, virtual_host: "/".to_owned() });
        }
        self.exchanges.remove(name);
        self.bindings.retain(|binding| binding.source != *name);
        Ok(())
    }

    pub(crate) fn declare_queue(
        &mut self,
        session: SessionNumber,
        mut wanted: QueueDeclaration,
    ) -> Result<QueueName, Refusal> {
        if wanted.name.is_empty() {
            wanted.name = QueueName::new(format!("amq.gen-{}", self.number()))?;
        } else if self.queues.contains_key(&wanted.name) {
            let current = &self.queue(session, &wanted.name)?.declaration;
            let pairs = [
                ("durable", wanted.durable, current.durable),
                ("exclusive", wanted.exclusive, current.exclusive),
                ("auto_delete", wanted.auto_delete, current.auto_delete),
            ];
            equivalent(Kind::Queue, wanted.name.as_str(), pairs)?;
            return Ok(wanted.name);
        } else if wanted.name.as_str().starts_with("amq.") {
            let reason = format!("queue name '{}' contains reserved prefix 'amq.*'", wanted.name);
            return Err(Refusal::Forbidden { reason });
        }
        let number = NonZeroU64::MIN.saturating_add(self.number());
        let name = wanted.name.clone();
        let queue = Queue {
            number,
            owner: wanted.exclusive.then_some(session),
            declaration: wanted,
            next_place: 0,
            ready: VecDeque::new(),
            handed_out: BTreeMap::new(),
            consumers: Vec::new(),
        };
        self.queues.insert(name.clone(), queue);
        self.changed();
        Ok(name)
    }

    /// The queue, where this session may use it.
    pub(crate) fn queue(&mut self, session: SessionNumber, name: &QueueName) -> Result<&mut Queue, Refusal> {
        let queue = self.queues.get_mut(name).ok_or_else(|| not_found(Kind::Queue, name.as_str()))?;
        if queue.owner.is_some_and(|owner| owner != session) {
            return Err(Refusal::Locked { name: name.to_string(), virtual_host: "/".to_owned() });
        }
        Ok(queue)
    }

    pub(crate) fn delete_queue(
        &mut self,
        session: SessionNumber,
        name: &QueueName,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<u64, Refusal> {
        if !self.queues.contains_key(name) {
            return Ok(0);
        }
        let queue = self.queue(session, name)?;
        let virtual_host = "/".to_owned();
        if if_unused && !queue.consumers.is_empty() {
            return Err(Refusal::InUse { kind: Kind::Queue, name: name.to_string(), virtual_host });
        }
        if if_empty && !queue.ready.is_empty() {
            return Err(Refusal::NotEmpty { name: name.to_string(), virtual_host });
        }
        Ok(self.remove_queue(name))
    }

    fn remove_queue(&mut self, name: &QueueName) -> u64 {
        let Some(queue) = self.queues.remove(name) else { return 0 };
        self.bindings.retain(|binding| binding.queue != *name);
        for id in queue.consumers {
            let Some(consumer) = self.consumers.remove(&id) else { continue };
            let channel = consumer.subscription.channel;
            self.tell(consumer.session, Event::ConsumerGone { channel, consumer: id });
        }
        self.changed();
        queue.ready.len() as u64
    }

    pub(crate) fn bind(&mut self, session: SessionNumber, binding: BindingDeclaration) -> Result<(), Refusal> {
        self.check_exchange(&binding.source)?;
        self.queue(session, &binding.queue)?;
        if !self.bindings.contains(&binding) {
            self.bindings.push(binding);
        }
        Ok(())
    }

    pub(crate) fn unbind(&mut self, session: SessionNumber, binding: &BindingDeclaration) -> Result<(), Refusal> {
        self.check_exchange(&binding.source)?;
        self.queue(session, &binding.queue)?;
        self.bindings.retain(|other| other != binding);
        Ok(())
    }

    /// The queues that a message goes to.
    fn route(&self, message: &Message) -> Result<Vec<QueueName>, Refusal> {
        let name = &message.exchange;
        let key = message.routing_key.as_str();
        let exchange = self.exchanges.get(name).ok_or_else(|| not_found(Kind::Exchange, name.as_str()))?;
        if exchange.internal {
            let reason = format!("cannot publish to internal exchange '{name}' in vhost '/'");
            return Err(Refusal::Forbidden { reason });
        }
        if name.is_default() {
            return Ok(self.queues.keys().filter(|queue| queue.as_str() == key).cloned().collect());
        }
        let mut queues: Vec<_> = self
            .bindings
            .iter()
            .filter(|binding| binding.source == *name)
            .filter(|binding| match exchange.kind {
                ExchangeKind::Direct => binding.routing_key.as_str() == key,
                ExchangeKind::Fanout => true,
                ExchangeKind::Topic => matches(binding.routing_key.as_str(), key),
            })
            .map(|binding| binding.queue.clone())
            .collect();
        queues.sort();
        queues.dedup();
        Ok(queues)
    }

    /// Whether the message went anywhere.
    pub(crate) fn publish(
        &mut self,
        session: SessionNumber,
        message: &Message,
        tag: Option<Tag>,
    ) -> Result<bool, Refusal> {
        let queues = self.route(message)?;
        let mut confirmation = Confirmation::Stored;
        for name in &queues {
            if self.rejecting.contains(name) {
                confirmation = Confirmation::Rejected;
                continue;
            }
            let Some(queue) = self.queues.get_mut(name) else { continue };
            let place = queue.next_place;
            queue.next_place += 1;
            queue.ready.push_back(Stored { place, redelivered: false, message: message.clone() });
            self.hand_out(name);
        }
        if let Some(tag) = tag
            && !queues.is_empty()
        {
            match &mut self.held_confirms {
                Some(held) => held.push((session, tag, confirmation)),
                None => {
                    let confirms = vec![(tag.sequence, confirmation)];
                    self.tell(session, Event::Confirms { channel: tag.channel, confirms });
                }
            }
        }
        self.changed();
        Ok(!queues.is_empty())
    }

    pub(crate) fn release_confirms(&mut self, pick: &mut dyn FnMut(usize) -> Option<Confirmation>) {
        let mut events: BTreeMap<(SessionNumber, u16), Vec<(u64, Confirmation)>> = BTreeMap::new();
        let held = self.held_confirms.take().unwrap_or_default();
        let mut kept = Vec::new();
        for (place, (session, tag, confirmation)) in held.into_iter().enumerate() {
            match pick(place) {
                Some(confirmation) => {
                    events.entry((session, tag.channel)).or_default().push((tag.sequence, confirmation));
                }
                None => kept.push((session, tag, confirmation)),
            }
        }
        self.held_confirms = Some(kept);
        for ((session, channel), confirms) in events {
            self.tell(session, Event::Confirms { channel, confirms });
        }
    }

    pub(crate) fn subscribe(
        &mut self,
        session: SessionNumber,
        subscription: Subscription,
    ) -> Result<ConsumerId, Refusal> {
        let id = ConsumerId(self.number());
        let name = subscription.queue.clone();
        let others = self.queue(session, &name)?.consumers.clone();
        let taken = others
            .iter()
            .any(|other| self.consumers.get(other).is_some_and(|consumer| consumer.subscription.exclusive));
        if taken || subscription.exclusive && !others.is_empty() {
            return Err(Refusal::ConsumedExclusively { name: name.to_string(), virtual_host: "/".to_owned() });
        }
        self.queue(session, &name)?.consumers.push(id);
        self.consumers.insert(id, Consumer { session, subscription, window: WINDOW, unsettled: 0 });
        self.hand_out(&name);
        self.changed();
        Ok(id)
    }

    pub(crate) fn cancel(&mut self, id: ConsumerId) {
        let Some(consumer) = self.consumers.remove(&id) else { return };
        let name = consumer.subscription.queue;
        if let Some(queue) = self.queues.get_mut(&name) {
            queue.consumers.retain(|other| *other != id);
            if queue.declaration.auto_delete && queue.consumers.is_empty() {
                self.remove_queue(&name);
            }
        }
        self.changed();
    }

    pub(crate) fn taken(&mut self, id: ConsumerId, deliveries: u32) {
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        consumer.window += deliveries;
        let name = consumer.subscription.queue.clone();
        self.hand_out(&name);
        self.changed();
    }

    /// Hands out what is ready to the consumers that have room.
    fn hand_out(&mut self, name: &QueueName) {
        let Some(queue) = self.queues.get_mut(name) else { return };
        let mut deliveries: BTreeMap<ConsumerId, Vec<Delivery>> = BTreeMap::new();
        while !queue.ready.is_empty() {
            let consumers = &self.consumers;
            let best = queue
                .consumers
                .iter()
                .enumerate()
                .filter_map(|(turn, id)| Some((turn, consumers.get(id)?)))
                .filter(|(_, consumer)| {
                    let most = consumer.subscription.prefetch.map_or(u16::MAX, std::num::NonZeroU16::get);
                    consumer.window > 0 && consumer.unsettled < most
                })
                .max_by_key(|(turn, consumer)| (consumer.subscription.priority, std::cmp::Reverse(*turn)))
                .map(|(turn, _)| turn);
            let Some(turn) = best else { break };
            let id = queue.consumers.remove(turn);
            queue.consumers.push(id);
            let Some(stored) = queue.ready.pop_front() else { break };
            let Some(consumer) = self.consumers.get_mut(&id) else { break };
            consumer.window -= 1;
            consumer.unsettled += 1;
            let session = consumer.session;
            deliveries.entry(id).or_default().push(queue.hold(session, Some(id), stored));
        }
        for (id, deliveries) in deliveries {
            let Some(consumer) = self.consumers.get(&id) else { continue };
            let channel = consumer.subscription.channel;
            self.tell(consumer.session, Event::Deliveries { channel, consumer: id, deliveries });
        }
    }

    pub(crate) fn settle(&mut self, deliveries: &[DeliveryId], settlement: Settlement) {
        let mut touched = Vec::new();
        for id in deliveries {
            let Some((name, queue)) = self.queues.iter_mut().find(|(_, queue)| queue.number == id.queue) else {
                continue;
            };
            let Some(handed_out) = queue.handed_out.remove(&id.message) else { continue };
            if settlement == Settlement::Requeue {
                let stored = Stored { redelivered: true, ..handed_out.stored };
                let at = queue.ready.partition_point(|other| other.place < stored.place);
                queue.ready.insert(at, stored);
            }
            if let Some(consumer) = handed_out.consumer.and_then(|id| self.consumers.get_mut(&id)) {
                consumer.unsettled -= 1;
            }
            if touched.last() != Some(name) {
                touched.push(name.clone());
            }
        }
        for name in touched {
            self.hand_out(&name);
        }
        self.changed();
    }

    fn tell(&self, session: SessionNumber, event: Event) {
        if let Some(events) = self.sessions.get(&session) {
            // A session that ends just now needs no events.
            let _ = events.send(event);
        }
    }
}

impl Queue {
    fn hold(&mut self, session: SessionNumber, consumer: Option<ConsumerId>, stored: Stored) -> Delivery {
        let id = DeliveryId { queue: self.number, message: stored.place, reader: None };
        let delivery = Delivery { id, redelivered: stored.redelivered, message: stored.message.clone() };
        self.handed_out.insert(stored.place, HandedOut { session, consumer, stored });
        delivery
    }

    pub(crate) fn get(&mut self, session: SessionNumber) -> Option<Delivery> {
        let stored = self.ready.pop_front()?;
        Some(self.hold(session, None, stored))
    }

    pub(crate) fn consumers(&self) -> usize {
        self.consumers.len()
    }
}

fn equivalent(kind: Kind, name: &str, pairs: [(&'static str, bool, bool); 3]) -> Result<(), Refusal> {
    match pairs.into_iter().find(|(_, received, current)| received != current) {
        Some((argument, received, current)) => {
            Err(inequivalent(kind, name, argument, received.to_string(), current.to_string()))
        }
        None => Ok(()),
    }
}

/// Whether a key matches a pattern of words, `*` (one word) and `#` (any number of words).
fn matches(pattern: &str, key: &str) -> bool {
    fn words(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern.split_first(), key.split_first()) {
            (None, None) => true,
            (Some((&"#", rest)), _) => (0..=key.len()).any(|skip| words(rest, &key[skip..])),
            (Some((&"*", rest)), Some((_, key))) => words(rest, key),
            (Some((word, rest)), Some((first, key))) => word == first && words(rest, key),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
    let split = |text| str::split(text, '.').collect::<Vec<_>>();
    words(&split(pattern), &split(key))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_is_one_word_and_a_hash_any_number() {
        assert!(matches("a.*.c", "a.b.c"));
        assert!(!matches("a.*.c", "a.c"));
        assert!(matches("a.#", "a"));
        assert!(matches("#.c", "a.b.c"));
        assert!(!matches("a.b", "a.b.c"));
    }
}
