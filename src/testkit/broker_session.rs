//! A client's session with the broker in memory.

use std::sync::Arc;

use ferrymq_core::{
    BindingDeclaration, ConsumerId, DeliveryId, ExchangeDeclaration, ExchangeName, Gotten, Message, Published,
    QueueDeclaration, QueueName, QueueState, Refusal, Session, Settlement, Subscription, Tag,
};

use crate::{broker::Shared, broker_state::SessionNumber};

/// A session; what it holds goes back when it is dropped.
pub struct FakeSession {
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: SessionNumber,
}

impl Drop for FakeSession {
    fn drop(&mut self) {
        self.shared.state().close(self.number);
    }
}

/// Counts a publish that waits, for as long as it does.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.publishes_waiting.send_modify(|waiting| *waiting += 1);
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.publishes_waiting.send_modify(|waiting| *waiting -= 1);
    }
}

impl Session for FakeSession {
    async fn declare_exchange(&self, exchange: ExchangeDeclaration) -> Result<(), Refusal> {
        self.shared.state().declare_exchange(exchange)
    }

    async fn check_exchange(&self, name: &ExchangeName) -> Result<(), Refusal> {
        self.shared.state().check_exchange(name)
    }

    async fn delete_exchange(&self, name: &ExchangeName, if_unused: bool) -> Result<(), Refusal> {
        self.shared.state().delete_exchange(name, if_unused)
    }

    async fn declare_queue(&self, queue: QueueDeclaration) -> Result<QueueState, Refusal> {
        if queue.log.is_some() {
            return Err(Refusal::NotSupported { reason: "the broker in memory has no logs".to_owned() });
        }
        let name = self.shared.state().declare_queue(self.number, queue)?;
        self.check_queue(&name).await
    }

    async fn check_queue(&self, name: &QueueName) -> Result<QueueState, Refusal> {
        let mut state = self.shared.state();
        let queue = state.queue(self.number, name)?;
        let consumers = u32::try_from(queue.consumers()).unwrap_or(u32::MAX);
        Ok(QueueState { name: name.clone(), messages: queue.ready.len() as u64, consumers })
    }

    async fn delete_queue(&self, name: &QueueName, if_unused: bool, if_empty: bool) -> Result<u64, Refusal> {
        self.shared.state().delete_queue(self.number, name, if_unused, if_empty)
    }

    async fn purge_queue(&self, name: &QueueName) -> Result<u64, Refusal> {
        let mut state = self.shared.state();
        let queue = state.queue(self.number, name)?;
        Ok(queue.ready.drain(..).count() as u64)
    }

    async fn bind(&self, binding: BindingDeclaration) -> Result<(), Refusal> {
        self.shared.state().bind(self.number, binding)
    }

    async fn unbind(&self, binding: BindingDeclaration) -> Result<(), Refusal> {
        self.shared.state().unbind(self.number, &binding)
    }

    async fn publish(&self, message: Message, _: Option<u32>, tag: Option<Tag>) -> Result<Published, Refusal> {
        if *self.shared.publishes_held.borrow() {
            let _waiting = Waiting::new(&self.shared);
            let mut held = self.shared.publishes_held.subscribe();
            // The sender lives as long as this.
            let _ = held.wait_for(|held| !held).await;
        }
        let routed = self.shared.state().publish(self.number, &message, tag)?;
        Ok(if routed { Published::Routed } else { Published::Unroutable(message) })
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<ConsumerId, Refusal> {
        let subscribed = self.shared.state().subscribe(self.number, subscription);
        let mut held = self.shared.subscriptions_held.subscribe();
        // The sender lives as long as this.
        let _ = held.wait_for(|held| !held).await;
        subscribed
    }

    async fn cancel(&self, consumer: ConsumerId) {
        self.shared.state().cancel(consumer);
    }

    fn taken(&self, consumer: ConsumerId, deliveries: u32) {
        self.shared.state().taken(consumer, deliveries);
    }

    async fn get(&self, queue: &QueueName) -> Result<Option<Gotten>, Refusal> {
        let mut state = self.shared.state();
        let queue = state.queue(self.number, queue)?;
        let Some(delivery) = queue.get(self.number) else { return Ok(None) };
        Ok(Some(Gotten { delivery, remaining: queue.ready.len() as u64 }))
    }

    fn settle(&self, deliveries: &[DeliveryId], settlement: Settlement) {
        self.shared.state().settle(deliveries, settlement);
    }
}
