//! A client's session: the port that front ends call.

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize},
    },
};

use ferrymq_core::{
    BindingDeclaration, ConsumerId, Delivery, DeliveryId, EventSender, ExchangeDeclaration, ExchangeName, Gotten,
    Identity, Kind, LogPosition, Message, Published, QueueDeclaration, QueueName, QueueState, Refusal,
    Session as SessionPort, Settlement, Subscription, Tag, VirtualHostName,
};
use ferrymq_queue::{QueueId, decode_message};
use tokio::sync::{Semaphore, oneshot};

use crate::{
    access::Access,
    catalogue::{Answer, BindingRecord, Command, ExchangeRecord, Owner, QueueRecord, Retention, Routed},
    counters::Count,
    gateway::{LogConsumers, NewConsumer, NewLogConsumer, Publisher, Several, Waiter},
    link::{Call, QueueCounts, Reply},
    node::Inner,
    refusal::{refusal_of, unavailable},
    rights::Permission,
};

/// Bytes of messages that one session may have under way; one bigger message may be, alone.
const ROOM: u32 = 8 << 20;
/// What a message counts beyond its own bytes.
const OVERHEAD: usize = 64;

/// A client's session on one virtual host.
pub struct Session {
    node: Arc<Inner>,
    number: u64,
    host: VirtualHostName,
    access: Access,
    publisher: Arc<Publisher>,
    logs: LogConsumers,
    /// Whose turn it is among the partitions of a topic, for messages without a key.
    turn: AtomicU32,
}

impl Session {
    pub(crate) fn open(
        node: Arc<Inner>,
        identity: &Identity,
        host: VirtualHostName,
        events: EventSender,
    ) -> Result<Self, Refusal> {
        let access = Access::open(&node, Arc::clone(&identity.user), host.clone())?;
        let number = node.next_session();
        let publisher = Arc::new(Publisher { events: events.clone(), room: Semaphore::new(ROOM as usize) });
        node.add_session(number, &access, events);
        // Sessions that publish little do not all begin with the same partition.
        let turn = AtomicU32::new(number as u32);
        let session = Self { node, number, host, access, publisher, logs: LogConsumers::default(), turn };
        if !session.access.is_valid(&session.node) {
            // It went after it was looked up, and before the session could be told.
            let user = &identity.user;
            return Err(Refusal::Forbidden { reason: format!("user '{user}' was deleted") });
        }
        Ok(session)
    }

    fn owner(&self) -> Owner {
        Owner { node: self.node.id(), run: self.node.run(), session: self.number }
    }

    /// A queue that this session may use, also where another node has just declared it.
    async fn queue(&self, name: &QueueName) -> Result<(QueueRecord, QueueId), Refusal> {
        match self.known_queue(name) {
            Err(Refusal::NotFound { .. }) => {
                self.node.catch_up().await;
                self.known_queue(name)
            }
            found => found,
        }
    }

    /// A queue that this session may use, as far as this node knows.
    fn known_queue(&self, name: &QueueName) -> Result<(QueueRecord, QueueId), Refusal> {
        let record = self.node.catalogue(|catalogue| catalogue.queue(self.host.as_str(), name.as_str()).cloned())?;
        let not_found =
            || Refusal::NotFound { kind: Kind::Queue, name: name.to_string(), virtual_host: self.host.to_string() };
        let record = record.ok_or_else(not_found)?;
        if record.exclusive.is_some_and(|owner| owner != self.owner()) {
            return Err(Refusal::Locked { name: name.to_string(), virtual_host: self.host.to_string() });
        }
        let id = QueueId::new(record.id).ok_or_else(not_found)?;
        Ok((record, id))
    }

    async fn change(&self, command: Command) -> Result<Answer, Refusal> {
        match self.node.change(command).await? {
            Answer::Denied(why) => Err(refusal_of(why, self.host.as_str())),
            answer => Ok(answer),
        }
    }

    /// Waits until what this session put into a queue or gave back is there: a client that asks next is to see it.
    async fn see_own(&self, shard: u32, id: u64) -> Result<(), Refusal> {
        match QueueId::new(id) {
            // Commands of this node take effect in order, and this one changes nothing.
            Some(queue) if self.node.has_under_way(shard) => self.node.create_in_shard(shard, queue).await,
            _ => Ok(()),
        }
    }

    async fn state(&self, name: &QueueName, shard: u32, id: u64) -> Result<QueueState, Refusal> {
        self.see_own(shard, id).await?;
        let counts = self.node.count(shard, vec![id]).await?;
        let QueueCounts { ready, consumers, .. } = counts.first().copied().unwrap_or_default();
        Ok(QueueState { name: name.clone(), messages: ready, consumers })
    }

    fn binding(&self, binding: &BindingDeclaration) -> BindingRecord {
        BindingRecord {
            exchange: binding.source.to_string(),
            queue: binding.queue.to_string(),
            key: binding.routing_key.to_string(),
        }
    }

    fn may(&self, permission: Permission, queue: &QueueName) -> Result<(), Refusal> {
        self.access.to_queue(&self.node, permission, queue)
    }

    /// Who binds a queue, or unbinds it, lets it have what comes through the exchange.
    fn may_bind(&self, binding: &BindingDeclaration) -> Result<(), Refusal> {
        self.may(Permission::Write, &binding.queue)?;
        self.access.to_exchange(&self.node, Permission::Read, &binding.source)
    }

    fn may_change_exchange(&self, name: &ExchangeName) -> Result<(), Refusal> {
        let reason = if name.is_default() {
            "operation not permitted on the default exchange".to_owned()
        } else if name.as_str().starts_with("amq.") {
            format!("exchange name '{name}' contains reserved prefix 'amq.*'")
        } else {
            return Ok(());
        };
        Err(Refusal::Forbidden { reason })
    }

    async fn make_queue(&self, name: &QueueName, queue: &QueueDeclaration) -> Result<QueueState, Refusal> {
        let (virtual_host, mirrors) = (self.host.to_string(), queue.mirrors);
        let command = match queue.log {
            Some(log) => {
                let retention = Retention::of(log);
                Command::DeclareLog { virtual_host, name: name.to_string(), mirrors, retention }
            }
            None => Command::DeclareQueue {
                virtual_host,
                name: name.to_string(),
                durable: queue.durable,
                auto_delete: queue.auto_delete,
                exclusive: queue.exclusive.then(|| self.owner()),
                mirrors,
            },
        };
        let Answer::Queue { id, shard, made } = self.change(command).await? else {
            return Err(unavailable("the catalogue gave an answer that makes no sense"));
        };
        if !made {
            return self.state(name, shard, id).await;
        }
        if let Some(id) = QueueId::new(id) {
            self.node.create_in_shard(shard, id).await?;
        }
        Ok(QueueState { name: name.clone(), messages: 0, consumers: 0 })
    }

    fn may_be_log(&self, queue: &QueueDeclaration) -> Result<(), Refusal> {
        let faults =
            [("non-durable", !queue.durable), ("exclusive-owner", queue.exclusive), ("auto-delete", queue.auto_delete)];
        let Some((property, _)) = faults.into_iter().find(|(_, fault)| *fault) else { return Ok(()) };
        let reason = format!("invalid property '{property}' for queue '{}' in vhost '{}'", queue.name, self.host);
        Err(Refusal::Precondition { reason })
    }

    /// What a queue keeps, where it is a log.
    fn log(&self, queue: QueueId) -> Result<Option<Retention>, Refusal> {
        self.node.catalogue(|catalogue| catalogue.log(queue))
    }

    /// Refuses what a log does not do.
    fn not_of_a_log(&self, queue: QueueId, name: &QueueName, what: &str) -> Result<(), Refusal> {
        if self.log(queue)?.is_none() {
            return Ok(());
        }
        let reason = format!("{what} not supported by stream queues queue '{name}' in vhost '{}'", self.host);
        Err(Refusal::NotSupported { reason })
    }

    async fn read_log(&self, wanted: &Subscription, shard: u32, queue: QueueId) -> Result<ConsumerId, Refusal> {
        let named = || format!("stream queue '{}' in vhost '{}'", wanted.queue, self.host);
        if wanted.no_ack {
            let reason = format!("automatic acknowledgement not supported by {}", named());
            return Err(Refusal::NotSupported { reason });
        }
        if wanted.exclusive {
            let reason = format!("exclusive consumers are not supported by {}: its consumers do not share it", named());
            return Err(Refusal::NotSupported { reason });
        }
        let Some(prefetch) = wanted.prefetch else {
            let reason = format!("consumer prefetch count is not set for {}", named());
            return Err(Refusal::Precondition { reason });
        };
        // What this session has just put into it counts.
        self.see_own(shard, queue.get()).await?;
        let from = self.node.find_in_log(shard, queue, wanted.position.unwrap_or(LogPosition::Next)).await?;
        let consumer = ConsumerId(self.node.consumers().next_number());
        let (channel, filter, events) = (wanted.channel, wanted.filter.clone(), self.publisher.events.clone());
        self.logs.add(&self.node, NewLogConsumer { consumer, queue, from, filter, prefetch, channel, events });
        Ok(consumer)
    }

    fn count_published(&self, message: &Message) {
        self.node.counters().add(Count::Published, 1);
        self.node.counters().add(Count::PublishedBytes, message.size() as u64);
    }

    fn settle_in_shard(&self, queue: QueueId, messages: Vec<u64>, settlement: Settlement) {
        let Some(shard) = self.node.consumers().shard_of(queue) else { return };
        self.node.settle(shard, queue, messages, settlement);
    }
}

impl SessionPort for Session {
    async fn declare_exchange(&self, exchange: ExchangeDeclaration) -> Result<(), Refusal> {
        let record = ExchangeRecord {
            kind: exchange.kind,
            durable: exchange.durable,
            auto_delete: exchange.auto_delete,
            internal: exchange.internal,
        };
        self.access.to_exchange(&self.node, Permission::Configure, &exchange.name)?;
        let name = exchange.name.as_str();
        let current = self.node.catalogue(|catalogue| catalogue.exchange(self.host.as_str(), name).copied())?;
        if current == Some(record) {
            return Ok(());
        }
        if current.is_none() {
            self.may_change_exchange(&exchange.name)?;
        }
        let (virtual_host, name) = (self.host.to_string(), name.to_owned());
        self.change(Command::DeclareExchange { virtual_host, name, exchange: record }).await.map(|_| ())
    }

    async fn check_exchange(&self, name: &ExchangeName) -> Result<(), Refusal> {
        if name.is_default() {
            return Ok(());
        }
        let is_there =
            || self.node.catalogue(|catalogue| catalogue.exchange(self.host.as_str(), name.as_str()).is_some());
        if is_there()? {
            return Ok(());
        }
        self.node.catch_up().await;
        if is_there()? {
            return Ok(());
        }
        let (name, virtual_host) = (name.to_string(), self.host.to_string());
        Err(Refusal::NotFound { kind: Kind::Exchange, name, virtual_host })
    }

    async fn delete_exchange(&self, name: &ExchangeName, if_unused: bool) -> Result<(), Refusal> {
        self.access.to_exchange(&self.node, Permission::Configure, name)?;
        self.may_change_exchange(name)?;
        let (virtual_host, name) = (self.host.to_string(), name.to_string());
        self.change(Command::DeleteExchange { virtual_host, name, if_unused }).await.map(|_| ())
    }

    async fn declare_queue(&self, mut queue: QueueDeclaration) -> Result<QueueState, Refusal> {
        if queue.log.is_some() {
            self.may_be_log(&queue)?;
        }
        if queue.name.is_empty() {
            queue.name = QueueName::new(format!("amq.gen-{}", uuid::Uuid::new_v4().simple()))?;
            let name = queue.name.clone();
            self.may(Permission::Configure, &name)?;
            return self.make_queue(&name, &queue).await;
        }
        let name = queue.name.clone();
        self.may(Permission::Configure, &name)?;
        let current = match self.known_queue(&name) {
            Ok((record, id)) => Some((record, self.log(id)?)),
            Err(Refusal::NotFound { .. }) => None,
            Err(refusal) => return Err(refusal),
        };
        match current {
            Some((record, log))
                if log == queue.log.map(Retention::of)
                    && record.durable == queue.durable
                    && record.auto_delete == queue.auto_delete
                    && record.exclusive.is_some() == queue.exclusive =>
            {
                self.state(&name, record.shard, record.id).await
            }
            None if name.as_str().starts_with("amq.") => {
                Err(Refusal::Forbidden { reason: format!("queue name '{name}' contains reserved prefix 'amq.*'") })
            }
            _ => self.make_queue(&name, &queue).await,
        }
    }

    async fn check_queue(&self, name: &QueueName) -> Result<QueueState, Refusal> {
        let (record, _) = self.queue(name).await?;
        self.state(name, record.shard, record.id).await
    }

    async fn delete_queue(&self, name: &QueueName, if_unused: bool, if_empty: bool) -> Result<u64, Refusal> {
        self.may(Permission::Configure, name)?;
        let record = match self.queue(name).await {
            Ok((record, _)) => record,
            Err(Refusal::NotFound { .. }) => return Ok(0),
            Err(refusal) => return Err(refusal),
        };
        let state = self.state(name, record.shard, record.id).await?;
        let (text, virtual_host) = (name.to_string(), self.host.to_string());
        if if_unused && state.consumers > 0 {
            return Err(Refusal::InUse { kind: Kind::Queue, name: text, virtual_host });
        }
        if if_empty && state.messages > 0 {
            return Err(Refusal::NotEmpty { name: text, virtual_host });
        }
        self.change(Command::DeleteQueue { virtual_host, name: text, id: Some(record.id) }).await?;
        if let Some(id) = QueueId::new(record.id) {
            self.node.delete_in_shard(record.shard, id);
        }
        Ok(state.messages)
    }

    async fn purge_queue(&self, name: &QueueName) -> Result<u64, Refusal> {
        self.may(Permission::Read, name)?;
        let (record, queue) = self.queue(name).await?;
        self.not_of_a_log(queue, name, "queue.purge")?;
        self.see_own(record.shard, record.id).await?;
        match self.node.ask_leader(record.shard, &Call::Purge { shard: record.shard, queue: record.id }).await? {
            Reply::Purged(messages) => Ok(messages),
            _ => Err(unavailable("the queue's leader gave an answer that makes no sense")),
        }
    }

    async fn bind(&self, binding: BindingDeclaration) -> Result<(), Refusal> {
        self.may_bind(&binding)?;
        self.queue(&binding.queue).await?;
        if binding.source.is_default() {
            return self.may_change_exchange(&binding.source);
        }
        let record = self.binding(&binding);
        self.change(Command::Bind { virtual_host: self.host.to_string(), binding: record }).await.map(|_| ())
    }

    async fn unbind(&self, binding: BindingDeclaration) -> Result<(), Refusal> {
        self.may_bind(&binding)?;
        if binding.source.is_default() {
            return self.may_change_exchange(&binding.source);
        }
        let record = self.binding(&binding);
        match self.change(Command::Unbind { virtual_host: self.host.to_string(), binding: record }).await {
            Ok(_) | Err(Refusal::NotFound { .. }) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    async fn publish(&self, message: Message, partition: Option<u32>, tag: Option<Tag>) -> Result<Published, Refusal> {
        let mut queues = Vec::new();
        let (routed, users) = self.node.catalogue(|catalogue| {
            let at = (self.host.as_str(), message.exchange.as_str(), message.routing_key.as_str());
            (catalogue.route(at, partition, &self.turn, &mut queues), catalogue.users_version())
        })?;
        self.access.to_publish(&self.node, users, &message.exchange)?;
        let (name, virtual_host) = (message.exchange.to_string(), self.host.to_string());
        match routed {
            Routed::NoExchange => return Err(Refusal::NotFound { kind: Kind::Exchange, name, virtual_host }),
            Routed::Internal => {
                let reason = format!("cannot publish to internal exchange '{name}' in vhost '{virtual_host}'");
                return Err(Refusal::Forbidden { reason });
            }
            Routed::NoPartition { partitions } => {
                let partition = partition.unwrap_or_default();
                return Err(Refusal::NoPartition { name, virtual_host, partition, partitions });
            }
            Routed::Queues => {}
        }
        if queues.is_empty() {
            self.count_published(&message);
            self.node.counters().add(Count::Unroutable, 1);
            return Ok(Published::Unroutable(message));
        }
        self.node.until_not_blocked().await;
        let room = u32::try_from(message.size() + OVERHEAD).unwrap_or(u32::MAX).min(ROOM);
        let permit = self.publisher.room.acquire_many(room).await;
        permit.map_err(|_| unavailable("the session is closing"))?.forget();
        self.count_published(&message);
        if let [(queue, shard)] = queues[..] {
            let waiter = Waiter::Published { publisher: self.publisher.clone(), tag, room };
            self.node.put(shard, Some(waiter), |commands| commands.enqueue(queue, &message));
            return Ok(Published::Routed);
        }
        let left = AtomicUsize::new(queues.len());
        let several = Arc::new(Several { left, publisher: self.publisher.clone(), tag, room });
        for (queue, shard) in queues {
            let waiter = Waiter::PublishedToOneOf(several.clone());
            self.node.put(shard, Some(waiter), |commands| commands.enqueue(queue, &message));
        }
        Ok(Published::Routed)
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<ConsumerId, Refusal> {
        self.may(Permission::Read, &subscription.queue)?;
        let (record, queue) = self.queue(&subscription.queue).await?;
        if self.log(queue)?.is_some() {
            return self.read_log(&subscription, record.shard, queue).await;
        }
        if subscription.position.is_some() || subscription.filter.is_some() {
            let (name, host) = (&subscription.queue, &self.host);
            let reason = format!(
                "queue '{name}' in vhost '{host}' is no stream: it has no offset to begin at, and its messages are not to be \
                 passed over"
            );
            return Err(Refusal::Precondition { reason });
        }
        let attachment = self.node.consumers().add(NewConsumer {
            session: self.number,
            channel: subscription.channel,
            events: self.publisher.events.clone(),
            shard: record.shard,
            queue,
            prefetch: subscription.prefetch.map(Into::into),
            priority: subscription.priority,
            exclusive: subscription.exclusive,
        });
        let consumer = attachment.consumer;
        let call = Call::Attach { shard: record.shard, attachment };
        match self.node.ask_leader(record.shard, &call).await {
            Ok(Reply::Attached(true)) => Ok(ConsumerId(consumer)),
            Ok(Reply::Attached(false)) => {
                self.node.detach(consumer);
                let (name, virtual_host) = (subscription.queue.to_string(), self.host.to_string());
                Err(Refusal::ConsumedExclusively { name, virtual_host })
            }
            other => {
                self.node.detach(consumer);
                Err(other.err().unwrap_or_else(|| unavailable("the queue's leader gave an answer that makes no sense")))
            }
        }
    }

    async fn cancel(&self, consumer: ConsumerId) {
        if !self.logs.remove(consumer) {
            self.node.detach(consumer.0);
        }
    }

    fn taken(&self, consumer: ConsumerId, deliveries: u32) {
        if !self.logs.taken(consumer, deliveries) {
            self.node.grant(consumer.0, deliveries);
        }
    }

    async fn get(&self, name: &QueueName) -> Result<Option<Gotten>, Refusal> {
        self.may(Permission::Read, name)?;
        let (record, queue) = self.queue(name).await?;
        self.not_of_a_log(queue, name, "basic.get")?;
        self.see_own(record.shard, record.id).await?;
        let Some(got) = self.node.get(record.shard, queue, self.number).await? else { return Ok(None) };
        let message = decode_message(got.bytes.into()).map_err(|error| unavailable(&error.to_string()))?;
        let id = DeliveryId { queue, message: got.holding.message, reader: None };
        let delivery = Delivery { id, redelivered: got.holding.returns > 0, message };
        self.node.counters().delivered(std::slice::from_ref(&delivery));
        Ok(Some(Gotten { delivery, remaining: got.remaining }))
    }

    fn settle(&self, deliveries: &[DeliveryId], settlement: Settlement) {
        self.node.counters().add(settlement.into(), deliveries.len() as u64);
        let mut run: Option<(NonZeroU64, Vec<u64>)> = None;
        for delivery in deliveries {
            if let Some(reader) = delivery.reader {
                self.logs.settled(reader);
                continue;
            }
            match &mut run {
                Some((queue, messages)) if *queue == delivery.queue => messages.push(delivery.message),
                _ => {
                    if let Some((queue, messages)) = run.replace((delivery.queue, vec![delivery.message])) {
                        self.settle_in_shard(queue, messages, settlement);
                    }
                }
            }
        }
        if let Some((queue, messages)) = run {
            self.settle_in_shard(queue, messages, settlement);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.node.sessions().remove(&self.number);
        self.node.close_session(self.owner(), self.host.as_str());
        tracing::debug!(user = &**self.access.user(), session = self.number, "a session ended");
    }
}

/// Waits for what is told when a request took effect.
pub(crate) fn done() -> (Waiter, oneshot::Receiver<()>) {
    let (tell, told) = oneshot::channel();
    (Waiter::Done(tell), told)
}
