//! The port: what a client may ask of a node.

use std::{future::Future, num::NonZeroU16};

use bytestring::ByteString;

use crate::{
    BindingDeclaration, ConsumerId, Delivery, DeliveryId, EventSender, ExchangeDeclaration, ExchangeName, Identity,
    LogFilter, LogPosition, Login, LoginRefused, Message, QueueDeclaration, QueueName, Refusal, Settlement,
    VirtualHostName,
};

/// A node, as front ends see it. Cheap to clone.
pub trait Broker: Clone + Send + Sync + 'static {
    /// What [`Broker::open`] gives.
    type Session: Session;

    /// Checks a name and a password.
    fn authenticate(&self, login: Login) -> impl Future<Output = Result<Identity, LoginRefused>> + Send;

    /// Opens a session of this user on a virtual host. Its events go to `events` until it is dropped.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFound`], [`Refusal::Forbidden`], [`Refusal::Unavailable`].
    fn open(
        &self,
        identity: &Identity,
        virtual_host: VirtualHostName,
        events: EventSender,
    ) -> impl Future<Output = Result<Self::Session, Refusal>> + Send;
}

/// Names a publish that wants to be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// The front end's channel.
    pub channel: u16,
    /// The channel's count of publishes; the front end picks it, and gets it back in the confirm.
    pub sequence: u64,
}

/// Where a message went.
#[derive(Debug)]
pub enum Published {
    /// To at least one queue; the confirm, if one was asked for, comes as an event.
    Routed,
    /// To no queue. No confirm will come. Given back so that it can be returned to its sender.
    Unroutable(Message),
}

/// A consumer that a client wants to have.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The queue.
    pub queue: QueueName,
    /// The front end's channel, given back in its events.
    pub channel: u16,
    /// The consumer's name on that channel, for people to read.
    pub tag: ByteString,
    /// The most deliveries unsettled at a time; no limit where there is none.
    pub prefetch: Option<NonZeroU16>,
    /// No other consumer may be there.
    pub exclusive: bool,
    /// A consumer of a higher priority is served first, while it has room.
    pub priority: i32,
    /// The client does not acknowledge.
    pub no_ack: bool,
    /// Where it begins, if the queue is a log, which says so of itself; at what comes next where there is none.
    pub position: Option<LogPosition>,
    /// What it wants of a log; all of it where there is none.
    pub filter: Option<LogFilter>,
}

/// A queue, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueState {
    /// Its name.
    pub name: QueueName,
    /// Messages ready to be handed out.
    pub messages: u64,
    /// Consumers attached.
    pub consumers: u32,
}

/// What a get gave.
#[derive(Debug)]
pub struct Gotten {
    /// The message; it is unsettled.
    pub delivery: Delivery,
    /// Messages ready in the queue after this one.
    pub remaining: u64,
}

/// One client's connection to a virtual host. When it is dropped, its consumers go, what they hold goes back to its
/// queues, and its exclusive queues are deleted.
///
/// Every request is bounded in time: where there is no leader or no majority for long, it is refused as
/// [`Refusal::Unavailable`].
pub trait Session: Send + Sync + 'static {
    /// Makes an exchange, or checks that the one that is there is the same.
    fn declare_exchange(&self, exchange: ExchangeDeclaration) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Checks that an exchange is there.
    fn check_exchange(&self, name: &ExchangeName) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Deletes an exchange and its bindings; no error where it is not there.
    fn delete_exchange(&self, name: &ExchangeName, if_unused: bool)
    -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Makes a queue, or checks that the one that is there is the same.
    fn declare_queue(&self, queue: QueueDeclaration) -> impl Future<Output = Result<QueueState, Refusal>> + Send;

    /// The state of a queue that must be there.
    fn check_queue(&self, name: &QueueName) -> impl Future<Output = Result<QueueState, Refusal>> + Send;

    /// Deletes a queue, its bindings and its messages, and gives how many these were; 0 where it is not there.
    fn delete_queue(
        &self,
        name: &QueueName,
        if_unused: bool,
        if_empty: bool,
    ) -> impl Future<Output = Result<u64, Refusal>> + Send;

    /// Removes the messages of a queue that are not handed out, and gives how many these were. Not of a log.
    fn purge_queue(&self, name: &QueueName) -> impl Future<Output = Result<u64, Refusal>> + Send;

    /// Binds a queue to an exchange; once more is no error.
    fn bind(&self, binding: BindingDeclaration) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Removes a binding; no error where it is not there.
    fn unbind(&self, binding: BindingDeclaration) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Routes a message and hands it to its queues. Waits while too much is in flight, or an alarm is on: this is how a
    /// publisher is slowed down. Messages of one session reach a queue in the order of these calls.
    ///
    /// Where the exchange is that of a topic with partitions, the message goes into one of them too: the one that is given,
    /// else the one of its routing key, and in turns where the key is empty.
    ///
    /// With a tag, the outcome comes as [`Event::Confirms`](crate::Event::Confirms) unless it is unroutable.
    fn publish(
        &self,
        message: Message,
        partition: Option<u32>,
        tag: Option<Tag>,
    ) -> impl Future<Output = Result<Published, Refusal>> + Send;

    /// Attaches a consumer. Its deliveries come as events, of which at most a window's worth is under way: the front
    /// end says with [`Session::taken`] what it has passed on, and each delivery is settled by [`Session::settle`]
    /// (by the front end itself, where the client does not acknowledge).
    ///
    /// A consumer of a log gets every message of it from its position on, whatever others get. It must have a prefetch, of
    /// which settling, in whatever way, gives back its share.
    fn subscribe(&self, subscription: Subscription) -> impl Future<Output = Result<ConsumerId, Refusal>> + Send;

    /// Detaches a consumer. What it holds stays unsettled; deliveries under way may still come, as events before this returns
    /// or after it, and the front end gives them back by [`Settlement::Requeue`].
    fn cancel(&self, consumer: ConsumerId) -> impl Future<Output = ()> + Send;

    /// So many deliveries of this consumer were passed on to the client, or given back: as many more may come.
    fn taken(&self, consumer: ConsumerId, deliveries: u32);

    /// Takes one message, or none where none is ready. It stays unsettled. Not of a log.
    fn get(&self, queue: &QueueName) -> impl Future<Output = Result<Option<Gotten>, Refusal>> + Send;

    /// Settles deliveries. In order for each queue, and not waited for; a delivery that is settled already is passed over.
    fn settle(&self, deliveries: &[DeliveryId], settlement: Settlement);
}
