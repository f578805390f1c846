//! A front end of a broker, as simple as can be: it runs in the broker's process, and dies with it.

use ferrymq_broker::Node;
use ferrymq_core::{
    Broker as _, ConsumerId, DeliveryId, Event, EventReceiver, Gotten, Identity, Message, QueueDeclaration, QueueName,
    Session, Settlement, Subscription, Tag, VirtualHostName, events,
};
use ferrymq_replication::simulation::Process;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

/// Who all clients are.
pub(crate) const USER: &str = "simulated";

/// What a client asks for. Done in order.
pub(crate) enum Ask {
    Declare(QueueDeclaration, oneshot::Sender<bool>),
    Publish(Message, Tag),
    Subscribe(Subscription, oneshot::Sender<Option<ConsumerId>>),
    Get(QueueName, oneshot::Sender<Option<Gotten>>),
    Taken(ConsumerId, u32),
    Settle(Vec<DeliveryId>, Settlement),
    /// How many messages are ready; nothing where that was not found out.
    Count(QueueName, oneshot::Sender<Option<u64>>),
}

/// A client's connection to a broker.
pub(crate) struct Connection {
    asks: mpsc::UnboundedSender<Ask>,
    events: EventReceiver,
}

impl Connection {
    /// Connects to a broker, in its process.
    pub(crate) fn open(process: &Process, node: Node) -> Self {
        let (asks, asked) = mpsc::unbounded_channel();
        let (sender, events) = events();
        process.spawn(async move {
            let identity = Identity { user: USER.into() };
            if let Ok(session) = node.open(&identity, VirtualHostName::root(), sender).await {
                serve(session, asked).await;
            }
        });
        Self { asks, events }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.asks.is_closed()
    }

    /// What the broker tells next; nothing where the connection is lost, or nothing comes until then.
    pub(crate) async fn next(&mut self, until: Instant) -> Option<Event> {
        let Self { asks, events } = self;
        tokio::select! {
            biased;
            told = events.recv() => told,
            () = asks.closed() => None,
            () = tokio::time::sleep_until(until) => None,
        }
    }

    pub(crate) fn tell(&self, ask: Ask) {
        // Where it is lost, that shows elsewhere.
        let _ = self.asks.send(ask);
    }

    /// Asks, and waits; nothing where the connection is lost.
    pub(crate) async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.tell(ask(answer));
        tokio::select! {
            biased;
            answer = answered => answer.ok(),
            () = self.asks.closed() => None,
        }
    }
}

async fn serve(session: ferrymq_broker::Session, mut asked: mpsc::UnboundedReceiver<Ask>) {
    while let Some(ask) = asked.recv().await {
        // A client that has gone does not hear its answer.
        match ask {
            Ask::Declare(queue, answer) => {
                let _ = answer.send(session.declare_queue(queue).await.is_ok());
            }
            Ask::Publish(message, tag) => {
                if session.publish(message, None, Some(tag)).await.is_err() {
                    return;
                }
            }
            Ask::Subscribe(subscription, answer) => {
                let _ = answer.send(session.subscribe(subscription).await.ok());
            }
            Ask::Get(queue, answer) => {
                let _ = answer.send(session.get(&queue).await.ok().flatten());
            }
            Ask::Taken(consumer, count) => session.taken(consumer, count),
            Ask::Settle(deliveries, settlement) => session.settle(&deliveries, settlement),
            Ask::Count(queue, answer) => {
                let _ = answer.send(session.check_queue(&queue).await.ok().map(|state| state.messages));
            }
        }
    }
}
