//! A session's consumers of logs. Each is a task that reads from its own position on; nothing of it is known elsewhere.

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroU16,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use ferrymq_core::{ConsumerId, Delivery, DeliveryId, Event, EventSender, LogFilter};
use ferrymq_queue::{QueueId, decode_message};
use tokio::{sync::Semaphore, task::AbortHandle};

use crate::node::Inner;

/// A log that could not be read is tried again after so long.
const PAUSE: Duration = Duration::from_millis(200);

/// The consumers of logs of one session. They end when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct LogConsumers {
    consumers: Arc<Mutex<HashMap<ConsumerId, LogConsumer>>>,
}

struct LogConsumer {
    flow: Arc<Flow>,
    task: AbortHandle,
    node: Weak<Inner>,
}

impl std::fmt::Debug for LogConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogConsumer").field("flow", &self.flow).finish_non_exhaustive()
    }
}

impl Drop for LogConsumer {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(node) = self.node.upgrade() {
            node.consumers().gone_elsewhere();
        }
    }
}

/// What a consumer may be sent.
#[derive(Debug)]
struct Flow {
    /// As many more may be unsettled.
    credit: Semaphore,
    /// So many were passed on to the client.
    taken: Semaphore,
}

/// A consumer to be.
pub(crate) struct NewLogConsumer {
    pub(crate) consumer: ConsumerId,
    pub(crate) queue: QueueId,
    /// The number of the message that it gets first.
    pub(crate) from: u64,
    pub(crate) filter: Option<LogFilter>,
    pub(crate) prefetch: NonZeroU16,
    pub(crate) channel: u16,
    pub(crate) events: EventSender,
}

impl LogConsumers {
    fn consumers(&self) -> MutexGuard<'_, HashMap<ConsumerId, LogConsumer>> {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a consumer, which reads from now on.
    pub(crate) fn add(&self, node: &Arc<Inner>, new: NewLogConsumer) {
        let flow = Arc::new(Flow { credit: Semaphore::new(new.prefetch.get().into()), taken: Semaphore::new(0) });
        let consumer = new.consumer;
        let task = Task {
            node: Arc::downgrade(node),
            next: new.from,
            new,
            flow: flow.clone(),
            read: VecDeque::new(),
            under_way: 0,
        };
        // Held so that a task that ends at once finds itself here.
        let mut consumers = self.consumers();
        let registered = Arc::downgrade(&self.consumers);
        let task = node.spawn(async move {
            task.run().await;
            if let Some(consumers) = registered.upgrade() {
                consumers.lock().unwrap_or_else(PoisonError::into_inner).remove(&consumer);
            }
        });
        node.consumers().came_elsewhere();
        consumers.insert(consumer, LogConsumer { flow, task, node: Arc::downgrade(node) });
    }

    /// Ends a consumer; gives whether it was one of these.
    pub(crate) fn remove(&self, consumer: ConsumerId) -> bool {
        self.consumers().remove(&consumer).is_some()
    }

    /// So many deliveries were passed on; gives whether the consumer is one of these.
    pub(crate) fn taken(&self, consumer: ConsumerId, deliveries: u32) -> bool {
        let consumers = self.consumers();
        let Some(known) = consumers.get(&consumer) else { return false };
        known.flow.taken.add_permits(deliveries as usize);
        true
    }

    /// One delivery was settled.
    pub(crate) fn settled(&self, consumer: ConsumerId) {
        // It may have ended.
        if let Some(known) = self.consumers().get(&consumer) {
            known.flow.credit.add_permits(1);
        }
    }
}

struct Task {
    node: Weak<Inner>,
    new: NewLogConsumer,
    next: u64,
    flow: Arc<Flow>,
    /// What was read, and is not sent yet.
    read: VecDeque<(u64, Bytes)>,
    /// Sent, and not known to be passed on.
    under_way: u32,
}

impl Task {
    /// Reads and sends until the log is gone. What is under way to the client and what is read ahead of it are at most one
    /// answer of the log each.
    async fn run(mut self) {
        loop {
            if self.read.is_empty() {
                let Some(node) = self.node.upgrade() else { return };
                match node.read_log(self.new.queue, self.next).await {
                    Ok(Some(batch)) => {
                        self.next = batch.messages.last().map_or(self.next, |(number, _)| number + 1);
                        self.read = batch.messages.into_iter().filter(|(_, bytes)| self.wants(bytes)).collect();
                    }
                    Ok(None) => {
                        let (channel, consumer) = (self.new.channel, self.new.consumer);
                        // The session may be going.
                        let _ = self.new.events.send(Event::ConsumerGone { channel, consumer });
                        return;
                    }
                    Err(error) => {
                        tracing::debug!(queue = self.new.queue, %error, "a log is not read just now");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                continue;
            }
            if !self.send().await {
                return;
            }
        }
    }

    /// Whether the consumer wants a message. What cannot be read is told of where it would be sent.
    fn wants(&self, bytes: &Bytes) -> bool {
        let Some(filter) = &self.new.filter else { return true };
        decode_message(bytes.clone()).is_ok_and(|message| filter.wants(&message))
    }

    /// Sends what there is credit for; false where nobody listens any more.
    async fn send(&mut self) -> bool {
        let flow = self.flow.clone();
        let (Ok(taken), Ok(first)) = (flow.taken.acquire_many(self.under_way).await, flow.credit.acquire().await)
        else {
            return false;
        };
        taken.forget();
        first.forget();
        // Nobody else takes of it.
        let more = flow.credit.available_permits().min(self.read.len() - 1);
        flow.credit.forget_permits(more);
        let mut deliveries = Vec::with_capacity(more + 1);
        for (number, bytes) in self.read.drain(..=more) {
            // Offsets count from 0.
            let id = DeliveryId { queue: self.new.queue, message: number - 1, reader: Some(self.new.consumer) };
            match decode_message(bytes) {
                Ok(message) => deliveries.push(Delivery { id, redelivered: false, message }),
                Err(error) => {
                    tracing::error!(queue = self.new.queue, number, %error, "a stored message cannot be read");
                    flow.credit.add_permits(1);
                }
            }
        }
        self.under_way = u32::try_from(deliveries.len()).unwrap_or(u32::MAX);
        if let Some(node) = self.node.upgrade() {
            node.counters().delivered(&deliveries);
        }
        let (channel, consumer) = (self.new.channel, self.new.consumer);
        self.new.events.send(Event::Deliveries { channel, consumer, deliveries }).is_ok()
    }
}
