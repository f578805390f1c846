//! What clients saw, in the order in which they saw it, and which promises that breaks.
//!
//! Pure: whoever runs the clients records what happens, and asks at the end. The promises:
//!
//! - what was confirmed is delivered, at least once;
//! - what was never sent is never delivered;
//! - the messages of one producer come in their order, where a queue has one consumer at a time and they come for the
//!   first time;
//! - what is known to be settled never comes again;
//! - what a consumer holds comes to no other one, nor again, while the consumer is there and within reach.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// A message: unique in a history, and counted up by its producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The producer: one session, whose messages to a queue keep their order.
    pub producer: u64,
    /// The producer's count of its messages.
    pub sequence: u64,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.producer, self.sequence)
    }
}

/// What happened to a message in a queue, or to a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It is about to be published.
    Sent {
        /// The queue that it goes to.
        queue: u32,
        /// The message.
        message: MessageId,
    },
    /// Its confirm came.
    Confirmed {
        /// The queue that it went to.
        queue: u32,
        /// The message.
        message: MessageId,
    },
    /// It came to a consumer, which holds it from now on.
    Delivered {
        /// The queue that it came from.
        queue: u32,
        /// The message.
        message: MessageId,
        /// The consumer.
        consumer: u64,
        /// It is marked as delivered before.
        redelivered: bool,
    },
    /// The consumer has settled it, or given it back: it holds it no more.
    LetGo {
        /// The queue.
        queue: u32,
        /// The message.
        message: MessageId,
        /// The consumer.
        consumer: u64,
    },
    /// It is known that its settlement took effect.
    Settled {
        /// The queue.
        queue: u32,
        /// The message.
        message: MessageId,
    },
    /// The consumer has gone: it holds nothing any more.
    Gone {
        /// The consumer.
        consumer: u64,
    },
    /// The consumer may be out of others' reach, or is again within it: nothing is promised about what it holds now.
    Reach {
        /// The consumer.
        consumer: u64,
        /// It is within reach.
        within: bool,
    },
    /// A broker was lost, or out of reach: it may be forgotten what was handed out and never seen, and what was sent until
    /// that is over may come in any order.
    Order {
        /// It is over: what is sent from now on comes in its order.
        promised: bool,
    },
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// Confirmed, and delivered to nobody.
    Lost {
        /// The queue.
        queue: u32,
        /// The message.
        message: MessageId,
    },
    /// Delivered from a queue that it was never sent to.
    NeverSent {
        /// The queue.
        queue: u32,
        /// The message.
        message: MessageId,
    },
    /// Delivered for the first time after one that its producer sent later.
    OutOfOrder {
        /// The queue.
        queue: u32,
        /// The message.
        message: MessageId,
        /// The one that came before.
        after: MessageId,
    },
    /// Delivered although its settlement was known.
    DeliveredAfterSettled {
        /// The queue.
        queue: u32,
        /// The message.
        message: MessageId,
        /// Who got it.
        consumer: u64,
    },
    /// Delivered although a consumer held it.
    DeliveredWhileHeld {
        /// The queue.
        queue: u32,
        /// The message.
        message: MessageId,
        /// Who held it.
        holder: u64,
        /// Who got it.
        consumer: u64,
    },
}

impl Broken {
    /// The messages that it is about, and their queue.
    #[must_use]
    pub fn about(&self) -> Vec<(u32, MessageId)> {
        match *self {
            Self::OutOfOrder { queue, message, after } => vec![(queue, after), (queue, message)],
            Self::Lost { queue, message }
            | Self::NeverSent { queue, message }
            | Self::DeliveredAfterSettled { queue, message, .. }
            | Self::DeliveredWhileHeld { queue, message, .. } => vec![(queue, message)],
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { queue, message } => write!(f, "queue {queue}: {message} was confirmed and is lost"),
            Self::NeverSent { queue, message } => write!(f, "queue {queue}: {message} was delivered, but never sent"),
            Self::OutOfOrder { queue, message, after } => {
                write!(f, "queue {queue}: {message} was delivered for the first time after {after}")
            }
            Self::DeliveredAfterSettled { queue, message, consumer } => {
                write!(f, "queue {queue}: {message} was settled, and came again to consumer {consumer}")
            }
            Self::DeliveredWhileHeld { queue, message, holder, consumer } => {
                write!(f, "queue {queue}: {message} was held by consumer {holder}, and came to consumer {consumer}")
            }
        }
    }
}

/// What clients saw.
#[derive(Debug, Clone, Default)]
pub struct History {
    events: Vec<(u64, Event)>,
    /// Queues that have one consumer at a time.
    ordered: BTreeSet<u32>,
}

impl History {
    /// Nothing yet. These queues have one consumer at a time, so that the order of their messages can be seen.
    #[must_use]
    pub fn new(ordered: impl IntoIterator<Item = u32>) -> Self {
        Self { events: Vec::new(), ordered: ordered.into_iter().collect() }
    }

    /// Adds what happened next, at a time in milliseconds, which is only for those who read it.
    pub fn record(&mut self, at: u64, event: Event) {
        self.events.push((at, event));
    }

    /// What happened, and when.
    #[must_use]
    pub fn events(&self) -> &[(u64, Event)] {
        &self.events
    }

    /// What happened to a message, for people: a line each.
    #[must_use]
    pub fn story_of(&self, queue: u32, message: MessageId) -> Vec<String> {
        let mut consumers = BTreeSet::new();
        let mut lines = Vec::new();
        for (at, event) in &self.events {
            let concerns = match *event {
                Event::Sent { queue: of, message: which }
                | Event::Confirmed { queue: of, message: which }
                | Event::Settled { queue: of, message: which }
                | Event::LetGo { queue: of, message: which, .. } => (of, which) == (queue, message),
                Event::Delivered { queue: of, message: which, consumer, .. } => {
                    let concerns = (of, which) == (queue, message);
                    if concerns {
                        consumers.insert(consumer);
                    }
                    concerns
                }
                Event::Gone { consumer } | Event::Reach { consumer, .. } => consumers.contains(&consumer),
                Event::Order { .. } => !consumers.is_empty(),
            };
            if concerns {
                lines.push(format!("{:>3}.{:03} s  {event:?}", at / 1000, at % 1000));
            }
        }
        lines
    }

    /// What was confirmed and delivered to nobody yet.
    #[must_use]
    pub fn missing(&self) -> BTreeSet<(u32, MessageId)> {
        let mut missing = BTreeSet::new();
        for (_, event) in &self.events {
            if let Event::Confirmed { queue, message } = *event {
                missing.insert((queue, message));
            }
        }
        for (_, event) in &self.events {
            if let Event::Delivered { queue, message, .. } = *event {
                missing.remove(&(queue, message));
            }
        }
        missing
    }

    /// The promises that were broken; none where all is well.
    #[must_use]
    pub fn check(&self) -> Vec<Broken> {
        let mut check = Check::new(&self.ordered);
        self.events.iter().for_each(|(_, event)| check.see(*event));
        check.broken.extend(self.missing().into_iter().map(|(queue, message)| Broken::Lost { queue, message }));
        check.broken
    }
}

struct Check<'a> {
    ordered: &'a BTreeSet<u32>,
    sent: BTreeSet<(u32, MessageId)>,
    delivered: BTreeSet<(u32, MessageId)>,
    settled: BTreeSet<(u32, MessageId)>,
    /// Sent before the order was promised again.
    unordered: BTreeSet<(u32, MessageId)>,
    disturbed: bool,
    /// The last message of each producer that came from a queue for the first time.
    latest: BTreeMap<(u32, u64), u64>,
    /// Who holds a message, and is within reach.
    held: BTreeMap<(u32, MessageId), u64>,
    out_of_reach: BTreeSet<u64>,
    broken: Vec<Broken>,
}

impl<'a> Check<'a> {
    fn new(ordered: &'a BTreeSet<u32>) -> Self {
        Self {
            ordered,
            sent: BTreeSet::new(),
            delivered: BTreeSet::new(),
            settled: BTreeSet::new(),
            unordered: BTreeSet::new(),
            disturbed: false,
            latest: BTreeMap::new(),
            held: BTreeMap::new(),
            out_of_reach: BTreeSet::new(),
            broken: Vec::new(),
        }
    }

    fn see(&mut self, event: Event) {
        match event {
            Event::Sent { queue, message } => {
                self.sent.insert((queue, message));
            }
            Event::Confirmed { .. } => {}
            Event::Delivered { queue, message, consumer, redelivered } => {
                self.deliver(queue, message, consumer, redelivered);
            }
            Event::LetGo { queue, message, consumer } => {
                if self.held.get(&(queue, message)) == Some(&consumer) {
                    self.held.remove(&(queue, message));
                }
            }
            Event::Settled { queue, message } => {
                self.settled.insert((queue, message));
            }
            Event::Order { promised } => {
                self.disturbed = !promised;
                self.unordered.extend(self.sent.iter().filter(|sent| !self.delivered.contains(sent)));
                self.latest.clear();
            }
            Event::Gone { consumer } => self.held.retain(|_, holder| *holder != consumer),
            Event::Reach { consumer, within } => {
                self.held.retain(|_, holder| *holder != consumer);
                if within {
                    self.out_of_reach.remove(&consumer);
                } else {
                    self.out_of_reach.insert(consumer);
                }
            }
        }
    }

    fn deliver(&mut self, queue: u32, message: MessageId, consumer: u64, redelivered: bool) {
        if !self.sent.contains(&(queue, message)) {
            self.broken.push(Broken::NeverSent { queue, message });
        }
        let within_reach = !self.out_of_reach.contains(&consumer);
        if within_reach && self.settled.contains(&(queue, message)) {
            self.broken.push(Broken::DeliveredAfterSettled { queue, message, consumer });
        }
        if within_reach && let Some(holder) = self.held.insert((queue, message), consumer) {
            self.broken.push(Broken::DeliveredWhileHeld { queue, message, holder, consumer });
        }
        let first = self.delivered.insert((queue, message));
        let promised = !self.disturbed && !self.unordered.contains(&(queue, message));
        let in_order = promised && self.ordered.contains(&queue);
        if first && !redelivered && within_reach && in_order {
            let latest = self.latest.entry((queue, message.producer)).or_insert(message.sequence);
            if *latest > message.sequence {
                let after = MessageId { sequence: *latest, ..message };
                self.broken.push(Broken::OutOfOrder { queue, message, after });
            }
            *latest = message.sequence.max(*latest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(sequence: u64) -> MessageId {
        MessageId { producer: 1, sequence }
    }

    fn sent(sequence: u64) -> Event {
        Event::Sent { queue: 1, message: id(sequence) }
    }

    fn delivered(sequence: u64, consumer: u64) -> Event {
        Event::Delivered { queue: 1, message: id(sequence), consumer, redelivered: false }
    }

    fn broken_by(events: impl IntoIterator<Item = Event>) -> Vec<Broken> {
        let mut history = History::new([1]);
        events.into_iter().for_each(|event| history.record(0, event));
        history.check()
    }

    #[test]
    fn what_was_confirmed_must_be_delivered() {
        let confirmed = Event::Confirmed { queue: 1, message: id(1) };
        assert_eq!(broken_by([sent(1), confirmed]), [Broken::Lost { queue: 1, message: id(1) }]);
        assert_eq!(broken_by([sent(1), confirmed, delivered(1, 1)]), []);
        assert_eq!(broken_by([sent(1)]), []);
    }

    #[test]
    fn what_was_never_sent_must_not_be_delivered() {
        assert_eq!(broken_by([delivered(1, 1)]), [Broken::NeverSent { queue: 1, message: id(1) }]);
    }

    #[test]
    fn first_deliveries_keep_the_order_of_their_producer() {
        let events = [sent(1), sent(2), delivered(2, 1), delivered(1, 1)];
        assert_eq!(broken_by(events), [Broken::OutOfOrder { queue: 1, message: id(1), after: id(2) }]);
        let again = Event::Delivered { queue: 1, message: id(1), consumer: 1, redelivered: true };
        assert_eq!(broken_by([sent(1), sent(2), delivered(2, 1), again]), []);
        let lost = |promised| Event::Order { promised };
        assert_eq!(broken_by([lost(false), sent(1), sent(2), delivered(2, 1), lost(true), delivered(1, 1)]), []);
    }

    #[test]
    fn what_is_settled_must_not_come_again() {
        let settled = Event::Settled { queue: 1, message: id(1) };
        let let_go = Event::LetGo { queue: 1, message: id(1), consumer: 1 };
        let events = [sent(1), delivered(1, 1), let_go, settled, delivered(1, 2)];
        assert_eq!(broken_by(events), [Broken::DeliveredAfterSettled { queue: 1, message: id(1), consumer: 2 }]);
    }

    #[test]
    fn what_is_held_comes_to_nobody_else_while_its_holder_is_within_reach() {
        let events = [sent(1), delivered(1, 1), delivered(1, 2)];
        let held = Broken::DeliveredWhileHeld { queue: 1, message: id(1), holder: 1, consumer: 2 };
        assert_eq!(broken_by(events), [held]);
        let lost = Event::Reach { consumer: 1, within: false };
        assert_eq!(broken_by([sent(1), delivered(1, 1), lost, delivered(1, 2)]), []);
        assert_eq!(broken_by([sent(1), delivered(1, 1), Event::Gone { consumer: 1 }, delivered(1, 2)]), []);
    }
}
