//! What a session tells its client unasked: deliveries, confirms, alarms.
//!
//! The channel has no bound of its own. It stays short because each source is bounded: deliveries by the window of each
//! consumer (see [`Subscription`](crate::Subscription)), confirms by what the session may have in flight.

use std::num::NonZeroU64;

use tokio::sync::mpsc;

use crate::Message;

/// A consumer, unique within its node's run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerId(pub u64);

/// Which message of which queue was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId {
    /// The queue's number in the catalogue; never used again.
    pub queue: NonZeroU64,
    /// The message's place in that queue; in a log, its offset.
    pub message: u64,
    /// Whose reading of a log this is of; none of a queue that is no log.
    pub reader: Option<ConsumerId>,
}

/// A message handed to a consumer.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What to settle it by.
    pub id: DeliveryId,
    /// It was handed out before.
    pub redelivered: bool,
    /// The message.
    pub message: Message,
}

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// Done: the message leaves the queue.
    Accept,
    /// Back into the queue, at its old place, marked as redelivered.
    Requeue,
    /// Not wanted: dead-lettered where the queue says so, else dropped.
    Discard,
}

/// What became of a publish that asked to be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// On disk at a majority of the mirrors of every queue that it was routed to.
    Stored,
    /// Not kept by at least one of its queues, and never will be.
    Rejected,
}

/// Something that happened, for the session's client.
#[derive(Debug)]
pub enum Event {
    /// Messages for one consumer, in order.
    Deliveries {
        /// The channel of its subscription.
        channel: u16,
        /// The consumer.
        consumer: ConsumerId,
        /// The messages.
        deliveries: Vec<Delivery>,
    },
    /// Publishes of one channel that are decided, each by the sequence of its [`Tag`](crate::Tag).
    Confirms {
        /// The channel.
        channel: u16,
        /// Sequence numbers in no particular order.
        confirms: Vec<(u64, Confirmation)>,
    },
    /// The consumer's queue is gone, and so is the consumer.
    ConsumerGone {
        /// The channel of its subscription.
        channel: u16,
        /// The consumer.
        consumer: ConsumerId,
    },
    /// Publishing waits from now on, for this reason.
    Blocked(String),
    /// Publishing goes on.
    Unblocked,
    /// The node stops or the user lost the right to be here; the client is to be told, and let go.
    Closing(String),
}

/// Where a session's events are put.
pub type EventSender = mpsc::UnboundedSender<Event>;

/// Where the front end takes them from.
pub type EventReceiver = mpsc::UnboundedReceiver<Event>;

/// The two ends of a session's events.
#[must_use]
pub fn events() -> (EventSender, EventReceiver) {
    mpsc::unbounded_channel()
}
