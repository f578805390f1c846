//! Programs that publish and consume, as long as they are to, at whichever broker takes them.

use std::{
    collections::BTreeMap,
    num::NonZeroU16,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ferrymq_core::{
    Confirmation, Delivery, Event as Told, ExchangeName, Message, Properties, QueueDeclaration, QueueName, RoutingKey,
    Settlement, Subscription, Tag,
};
use ferrymq_testkit::{Chance, Event, History, MessageId};
use tokio::time::{Instant, timeout};

use crate::{
    front_end::{Ask, Connection},
    reach::Reach,
    world::{Directory, lock},
};

/// How long a client waits for anything before it connects anew.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a client waits for the answer to a get.
const GET_PATIENCE: Duration = Duration::from_secs(1);
const CHANNEL: u16 = 1;

/// What all clients of a cluster share.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) directory: Directory,
    pub(crate) history: Arc<Mutex<History>>,
    pub(crate) reach: Reach,
    /// Producers and consumers so far.
    numbers: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Clients {
    pub(crate) fn new(directory: Directory, history: Arc<Mutex<History>>, reach: Reach) -> Self {
        Self { directory, history, reach, numbers: Arc::default(), stop: Arc::default() }
    }

    /// All of them are to leave.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn is_to_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn record(&self, event: Event) {
        lock(&self.history).record(self.reach.now(), event);
    }

    /// A connection to any broker that runs.
    fn connect(&self, chance: &mut Chance) -> Option<(u32, Connection)> {
        let directory = lock(&self.directory);
        let up: Vec<_> = (0..).zip(&*directory).filter_map(|(at, broker)| Some((at, broker.as_ref()?))).collect();
        let (ordinal, (process, node)) = chance.pick(&up)?;
        Some((*ordinal, Connection::open(process, node.clone())))
    }

    /// Publishes to these queues, now and then over another connection.
    pub(crate) async fn publish(self, queues: Vec<u32>, mut chance: Chance) {
        while !self.is_to_stop() {
            let Some((_, connection)) = self.connect(&mut chance) else {
                tokio::time::sleep(chance.millis(50, 200)).await;
                continue;
            };
            let mut producer = Producer::new(&self, connection);
            for queue in &queues {
                producer.declare(*queue).await;
            }
            let count = chance.below(80);
            for _ in 0..count {
                if self.is_to_stop() || producer.connection.is_lost() {
                    break;
                }
                if let Some(queue) = chance.pick(&queues) {
                    producer.publish(*queue, &mut chance);
                }
                producer.listen(chance.millis(0, 60)).await;
            }
            let until = Instant::now() + PATIENCE;
            while !producer.waiting.is_empty() && !producer.connection.is_lost() && Instant::now() < until {
                producer.listen(Duration::from_millis(100)).await;
            }
            // A broker that refuses at once does so at this time still.
            tokio::time::sleep(chance.millis(1, 300)).await;
        }
    }

    /// Consumes a queue, now and then over another connection.
    pub(crate) async fn consume(self, queue: u32, mut chance: Chance) {
        while !self.is_to_stop() {
            match self.connect(&mut chance) {
                Some((broker, connection)) => self.consume_at(queue, broker, connection, &mut chance).await,
                None => tokio::time::sleep(chance.millis(50, 200)).await,
            }
            tokio::time::sleep(chance.millis(0, 300)).await;
        }
    }

    async fn consume_at(&self, queue: u32, broker: u32, connection: Connection, chance: &mut Chance) {
        let mut producer = Producer::new(self, connection);
        producer.declare(queue).await;
        let prefetch = NonZeroU16::new(1 + chance.below(12) as u16);
        let mut consumer =
            Consumer { number: self.number(), queue, clients: self, held: Vec::new(), accepted: Vec::new() };
        self.reach.enter(consumer.number, broker);
        let leave_at = Instant::now() + chance.millis(500, 15_000);
        let by_get = chance.one_in(8);
        let subscribed = by_get || producer.subscribe(queue, prefetch).await;
        while subscribed && !self.is_to_stop() && !producer.connection.is_lost() && Instant::now() < leave_at {
            if by_get && !consumer.get(&producer).await {
                break;
            }
            if !consumer.take(&mut producer, chance.millis(1, 80)).await {
                break;
            }
            consumer.settle(&mut producer, chance);
        }
        self.reach.leave(consumer.number);
    }

    /// Takes all that is left in a queue; gives how many messages it says that it has still.
    pub(crate) async fn drain(&self, queue: u32, chance: &mut Chance, rounds: u32) -> Option<u64> {
        let (broker, connection) = self.connect(chance)?;
        let mut producer = Producer::new(self, connection);
        let mut consumer =
            Consumer { number: self.number(), queue, clients: self, held: Vec::new(), accepted: Vec::new() };
        self.reach.enter(consumer.number, broker);
        let mut left = None;
        if producer.declare(queue).await && producer.subscribe(queue, NonZeroU16::new(200)).await {
            for _ in 0..rounds {
                if !consumer.take(&mut producer, Duration::from_millis(100)).await {
                    break;
                }
                let held = std::mem::take(&mut consumer.held);
                consumer.let_go(&producer, &held, Settlement::Accept);
            }
            left = producer.connection.ask(|answer| Ask::Count(name(queue), answer)).await.flatten();
        }
        self.reach.leave(consumer.number);
        left
    }
}

/// One session's publishing.
struct Producer<'a> {
    clients: &'a Clients,
    connection: Connection,
    number: u64,
    last: u64,
    waiting: BTreeMap<u64, (u32, MessageId)>,
    /// Confirmed since this was last looked at.
    confirmed: Vec<u64>,
    arrived: Vec<Delivery>,
    gone: bool,
}

impl<'a> Producer<'a> {
    fn new(clients: &'a Clients, connection: Connection) -> Self {
        let (waiting, confirmed, arrived) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { clients, connection, number: clients.number(), last: 0, waiting, confirmed, arrived, gone: false }
    }

    async fn declare(&self, queue: u32) -> bool {
        let declaration = QueueDeclaration {
            name: name(queue),
            durable: true,
            exclusive: false,
            auto_delete: false,
            mirrors: None,
            log: None,
        };
        let declared = self.connection.ask(|answer| Ask::Declare(declaration, answer));
        timeout(PATIENCE, declared).await.ok().flatten().unwrap_or(false)
    }

    async fn subscribe(&self, queue: u32, prefetch: Option<NonZeroU16>) -> bool {
        let (queue, tag) = (name(queue), "simulated".into());
        let subscription = Subscription {
            queue,
            channel: CHANNEL,
            tag,
            prefetch,
            exclusive: false,
            priority: 0,
            no_ack: false,
            position: None,
            filter: None,
        };
        let subscribed = self.connection.ask(|answer| Ask::Subscribe(subscription, answer));
        timeout(PATIENCE, subscribed).await.ok().flatten().flatten().is_some()
    }

    /// Publishes a message, and gives its sequence.
    fn publish(&mut self, queue: u32, chance: &mut Chance) -> u64 {
        self.last += 1;
        let message = MessageId { producer: self.number, sequence: self.last };
        self.waiting.insert(self.last, (queue, message));
        self.clients.record(Event::Sent { queue, message });
        let tag = Tag { channel: CHANNEL, sequence: self.last };
        self.connection.tell(Ask::Publish(content(queue, message, chance), tag));
        self.last
    }

    /// Takes what comes within this time.
    async fn listen(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            match self.connection.next(until).await {
                None => return,
                Some(Told::Confirms { confirms, .. }) => {
                    for (sequence, outcome) in confirms {
                        let Some((queue, message)) = self.waiting.remove(&sequence) else { continue };
                        if outcome == Confirmation::Stored {
                            self.clients.record(Event::Confirmed { queue, message });
                            self.confirmed.push(sequence);
                        }
                    }
                }
                Some(Told::Deliveries { consumer, deliveries, .. }) => {
                    self.connection.tell(Ask::Taken(consumer, deliveries.len() as u32));
                    self.arrived.extend(deliveries);
                    return;
                }
                Some(Told::ConsumerGone { .. } | Told::Closing(_)) => {
                    self.gone = true;
                    return;
                }
                Some(_) => {}
            }
        }
    }
}

/// One consumer.
struct Consumer<'a> {
    number: u64,
    queue: u32,
    clients: &'a Clients,
    held: Vec<(Delivery, MessageId)>,
    /// Accepted, and not known to be settled: and the publish whose confirm says so.
    accepted: Vec<(MessageId, Option<u64>)>,
}

impl Consumer<'_> {
    /// Gets a message, where there is one; false where no answer comes: this client leaves then.
    async fn get(&mut self, producer: &Producer<'_>) -> bool {
        let asked = producer.connection.ask(|answer| Ask::Get(name(self.queue), answer));
        let Ok(Some(gotten)) = timeout(GET_PATIENCE, asked).await else { return false };
        if let Some(gotten) = gotten {
            self.arrived(gotten.delivery);
        }
        true
    }

    /// Takes what comes; false where the consumer is gone.
    async fn take(&mut self, producer: &mut Producer<'_>, time: Duration) -> bool {
        producer.listen(time).await;
        for delivery in std::mem::take(&mut producer.arrived) {
            self.arrived(delivery);
        }
        // Commands of one broker to one shard take effect in order: so did what was accepted before this publish.
        for confirmed in std::mem::take(&mut producer.confirmed) {
            self.accepted.retain(|(message, by)| {
                let settled = by.is_some_and(|by| by <= confirmed);
                if settled {
                    self.clients.record(Event::Settled { queue: self.queue, message: *message });
                }
                !settled
            });
        }
        !producer.gone
    }

    fn arrived(&mut self, delivery: Delivery) {
        // What cannot be read was never sent.
        let none = MessageId { producer: u64::MAX, sequence: delivery.id.message };
        let message = read(&delivery.message.body).filter(|(queue, _)| *queue == self.queue).map_or(none, |(_, id)| id);
        let (queue, consumer, redelivered) = (self.queue, self.number, delivery.redelivered);
        self.clients.record(Event::Delivered { queue, message, consumer, redelivered });
        self.held.push((delivery, message));
    }

    /// Settles some of what it holds, or gives it back.
    fn settle(&mut self, producer: &mut Producer<'_>, chance: &mut Chance) {
        if self.held.is_empty() || chance.one_in(4) {
            return;
        }
        let count = 1 + chance.below(self.held.len() as u64) as usize;
        let held: Vec<_> = self.held.drain(..count).collect();
        if chance.one_in(12) {
            self.let_go(producer, &held, Settlement::Requeue);
            return;
        }
        self.let_go(producer, &held, Settlement::Accept);
        self.accepted.extend(held.iter().map(|(_, message)| (*message, None)));
        if chance.one_in(5) {
            let sequence = producer.publish(self.queue, chance);
            self.accepted.iter_mut().for_each(|(_, by)| *by = by.or(Some(sequence)));
        }
    }

    fn let_go(&self, producer: &Producer<'_>, held: &[(Delivery, MessageId)], settlement: Settlement) {
        if held.is_empty() {
            return;
        }
        for (_, message) in held {
            self.clients.record(Event::LetGo { queue: self.queue, message: *message, consumer: self.number });
        }
        let ids = held.iter().map(|(delivery, _)| delivery.id).collect();
        producer.connection.tell(Ask::Settle(ids, settlement));
    }
}

/// A queue's name.
pub(crate) fn name(queue: u32) -> QueueName {
    QueueName::new(format!("queue-{queue}")).expect("a short name of letters and digits is one")
}

/// A message that says what it is, and has some bytes behind.
fn content(queue: u32, id: MessageId, chance: &mut Chance) -> Message {
    let padding = if chance.one_in(10) { chance.below(6000) } else { chance.below(300) };
    let body = format!("{queue} {} {} {}", id.producer, id.sequence, "x".repeat(padding as usize));
    Message {
        exchange: ExchangeName::default_exchange(),
        routing_key: RoutingKey::new(name(queue).to_string()).expect("a queue's name is a routing key"),
        properties: Properties::default(),
        body: Bytes::from(body),
    }
}

/// Which message of which queue this is.
fn read(body: &[u8]) -> Option<(u32, MessageId)> {
    let text = std::str::from_utf8(body).ok()?;
    let mut words = text.split(' ');
    let queue = words.next()?.parse().ok()?;
    let (producer, sequence) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((queue, MessageId { producer, sequence }))
}
