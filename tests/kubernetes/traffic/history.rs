//! What clients saw, as the checker of the simulation reads it, and how much of it there was.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ferrymq_testkit::{Event, History as Checked, MessageId};

/// What clients saw.
pub(crate) struct History {
    began: Instant,
    /// Their places are the numbers of the queues.
    queues: Vec<String>,
    seen: Mutex<Seen>,
}

struct Seen {
    checked: Checked,
    /// The last number that a producer or a consumer was given.
    last: u64,
    publishers: BTreeMap<String, Publisher>,
    /// Consumers that are there, with the pods of their brokers.
    consumers: BTreeMap<u64, String>,
    /// Of those, who came while their broker was disturbed.
    came_disturbed: BTreeSet<u64>,
    /// Pods of brokers that are disturbed.
    disturbed: BTreeSet<String>,
    /// What was delivered, and the number of the delivery that was the last of it.
    delivered: HashMap<(u32, MessageId), u64>,
    /// What somebody acknowledged: it need not come again, whoever else gives it back.
    acknowledged: HashSet<(u32, MessageId)>,
    /// Confirmed, and not delivered yet; or given back, and not delivered again yet.
    missing: HashSet<(u32, MessageId)>,
    deliveries: u64,
    given_back: u64,
}

#[derive(Default)]
struct Publisher {
    sent: u64,
    /// When messages were confirmed, and how many the publisher had sent before each of them.
    confirms: Vec<(Instant, u64)>,
}

/// What is to be said of a history in which every promise was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    /// Messages that were confirmed, all of which came to a consumer of each queue.
    pub(crate) confirmed: u64,
    /// Deliveries of messages that had been delivered already and were not given back: at least once is not exactly once.
    pub(crate) repeated: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} confirmed, none lost, {} delivered again", self.confirmed, self.repeated)
    }
}

/// A message's body: its name, filled up to a size.
pub(super) fn body(message: MessageId, bytes: usize) -> Vec<u8> {
    let mut body = format!("{} {} ", message.producer, message.sequence).into_bytes();
    body.resize(bytes.max(body.len()), b'.');
    body
}

fn parsed(body: &[u8]) -> Option<MessageId> {
    let mut words = str::from_utf8(body).ok()?.split(' ');
    Some(MessageId { producer: words.next()?.parse().ok()?, sequence: words.next()?.parse().ok()? })
}

impl History {
    /// Nothing yet. The first queues have one consumer each, the others may have many; all of them get every message.
    pub(super) fn new(ordered: &[&str], shared: &[&str]) -> Self {
        let queues = ordered.iter().chain(shared).map(|&queue| queue.to_owned()).collect();
        let seen = Seen {
            checked: Checked::new((0..).take(ordered.len())),
            last: 0,
            publishers: BTreeMap::new(),
            consumers: BTreeMap::new(),
            came_disturbed: BTreeSet::new(),
            disturbed: BTreeSet::new(),
            delivered: HashMap::new(),
            acknowledged: HashSet::new(),
            missing: HashSet::new(),
            deliveries: 0,
            given_back: 0,
        };
        Self { began: Instant::now(), queues, seen: Mutex::new(seen) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, seen: &mut Seen, event: Event) {
        seen.checked.record(self.began.elapsed().as_millis() as u64, event);
    }

    fn queues(&self) -> impl Iterator<Item = u32> {
        (0..).take(self.queues.len())
    }

    /// The number of a queue.
    pub(super) fn queue(&self, name: &str) -> u32 {
        self.queues().zip(&self.queues).find(|(_, queue)| *queue == name).expect("the history knows the queue").0
    }

    /// A number for a session that publishes.
    pub(super) fn producer(&self) -> u64 {
        let mut seen = self.seen();
        seen.last += 1;
        seen.last
    }

    /// A message is about to be published. Gives how many its publisher had sent before.
    pub(super) fn sent(&self, publisher: &str, message: MessageId) -> u64 {
        let mut seen = self.seen();
        self.queues().for_each(|queue| self.record(&mut seen, Event::Sent { queue, message }));
        let publisher = seen.publishers.entry(publisher.to_owned()).or_default();
        publisher.sent += 1;
        publisher.sent - 1
    }

    /// A message was confirmed, before which its publisher had sent so many.
    pub(super) fn confirmed(&self, publisher: &str, message: MessageId, before: u64) {
        let mut seen = self.seen();
        for queue in self.queues() {
            self.record(&mut seen, Event::Confirmed { queue, message });
            if !seen.delivered.contains_key(&(queue, message)) {
                seen.missing.insert((queue, message));
            }
        }
        seen.publishers.entry(publisher.to_owned()).or_default().confirms.push((Instant::now(), before));
    }

    /// A consumer is there, at a broker; its number.
    pub(super) fn consumer(&self, pod: &str) -> u64 {
        let mut seen = self.seen();
        seen.last += 1;
        let consumer = seen.last;
        seen.consumers.insert(consumer, pod.to_owned());
        if seen.disturbed.contains(pod) {
            seen.came_disturbed.insert(consumer);
            self.record(&mut seen, Event::Reach { consumer, within: false });
        }
        consumer
    }

    /// A message came to a consumer. Panics where it is none that anybody published. Gives the number of the delivery, too.
    pub(super) fn delivered(&self, queue: u32, body: &[u8], redelivered: bool, consumer: u64) -> (MessageId, u64) {
        let message = parsed(body).unwrap_or_else(|| panic!("nobody sent this: {}", String::from_utf8_lossy(body)));
        let mut seen = self.seen();
        self.record(&mut seen, Event::Delivered { queue, message, consumer, redelivered });
        seen.deliveries += 1;
        let delivery = seen.deliveries;
        seen.delivered.insert((queue, message), delivery);
        seen.missing.remove(&(queue, message));
        (message, delivery)
    }

    /// A consumer is about to acknowledge a message.
    pub(super) fn acknowledged(&self, queue: u32, message: MessageId, consumer: u64) {
        let mut seen = self.seen();
        self.record(&mut seen, Event::LetGo { queue, message, consumer });
        seen.acknowledged.insert((queue, message));
        seen.missing.remove(&(queue, message));
    }

    /// A consumer is about to give a message back, which came to it by this delivery, and is to come again. Unless it did
    /// since, as the consumer's broker was out of reach: it is of whom it came to then. Or unless somebody acknowledged it,
    /// to a leader that was lost: the one after it may hand it out before it learns of that.
    pub(super) fn given_back(&self, queue: u32, message: MessageId, delivery: u64, consumer: u64) {
        let mut seen = self.seen();
        self.record(&mut seen, Event::LetGo { queue, message, consumer });
        let is_last = seen.delivered.get(&(queue, message)) == Some(&delivery);
        if is_last && !seen.acknowledged.contains(&(queue, message)) {
            seen.given_back += 1;
            seen.missing.insert((queue, message));
        }
    }

    /// A consumer is gone.
    pub(super) fn gone(&self, consumer: u64) {
        let mut seen = self.seen();
        seen.consumers.remove(&consumer);
        seen.came_disturbed.remove(&consumer);
        self.record(&mut seen, Event::Gone { consumer });
    }

    /// These brokers are about to be disturbed: what their consumers hold may come to others, and until all is whole
    /// again messages may come in any order.
    pub(super) fn disturb(&self, pods: &[&str]) {
        let mut seen = self.seen();
        self.record(&mut seen, Event::Order { promised: false });
        let theirs: Vec<u64> =
            seen.consumers.iter().filter(|(_, pod)| pods.contains(&pod.as_str())).map(|(number, _)| *number).collect();
        // For good: they may notice late that they are gone.
        theirs.iter().for_each(|consumer| self.record(&mut seen, Event::Reach { consumer: *consumer, within: false }));
        seen.disturbed.extend(pods.iter().map(|&pod| pod.to_owned()));
    }

    /// All is whole again.
    pub(super) fn whole(&self) {
        let mut seen = self.seen();
        seen.disturbed.clear();
        for consumer in std::mem::take(&mut seen.came_disturbed) {
            self.record(&mut seen, Event::Reach { consumer, within: true });
        }
        self.record(&mut seen, Event::Order { promised: true });
    }

    /// How many messages a publisher has sent.
    pub(super) fn sent_by(&self, publisher: &str) -> u64 {
        self.seen().publishers.get(publisher).map_or(0, |publisher| publisher.sent)
    }

    /// How many messages were confirmed before which their publisher had sent so many, or more.
    pub(super) fn confirmed_from(&self, publisher: &str, before: u64) -> u64 {
        let seen = self.seen();
        let confirms = seen.publishers.get(publisher).into_iter().flat_map(|publisher| publisher.confirms.iter().rev());
        // Confirms come about in order; the newest are enough.
        confirms.take_while(|(_, sent)| *sent + 1000 >= before).filter(|(_, sent)| *sent >= before).count() as u64
    }

    /// The longest time without a confirm since then.
    pub(super) fn longest_pause(&self, publisher: &str, since: Instant) -> Duration {
        let seen = self.seen();
        let confirms = seen.publishers.get(publisher).map_or(&[][..], |publisher| &publisher.confirms);
        let pauses = confirms.windows(2).filter(|pair| pair[1].0 > since).map(|pair| pair[1].0 - pair[0].0);
        pauses.max().unwrap_or(Duration::MAX)
    }

    /// When a publisher's last confirm came.
    pub(super) fn last_confirm(&self, publisher: &str) -> Option<Instant> {
        self.seen().publishers.get(publisher)?.confirms.last().map(|(when, _)| *when)
    }

    /// How many messages were confirmed and not delivered yet, or given back and not delivered again, over all queues.
    pub(super) fn missing(&self) -> usize {
        self.seen().missing.len()
    }

    /// Those of one queue.
    pub(super) fn missing_from(&self, queue: &str) -> usize {
        let queue = self.queue(queue);
        self.seen().missing.iter().filter(|(of, _)| *of == queue).count()
    }

    /// Panics where a promise was broken, and tells the story of the first messages.
    pub(super) fn check(&self) -> Report {
        let seen = self.seen();
        let broken = seen.checked.check();
        let tell = |(queue, message)| {
            seen.checked.story_of(queue, message).iter().for_each(|line| println!("  {message}: {line}"));
        };
        for one in broken.iter().take(3) {
            println!("broken: {one}");
            one.about().into_iter().for_each(tell);
        }
        for missing in seen.missing.iter().take(3) {
            println!("did not come again from {}:", self.queues[missing.0 as usize]);
            tell(*missing);
        }
        assert!(broken.is_empty(), "{} promises were broken, the first: {}", broken.len(), broken[0]);
        let confirmed = seen.publishers.values().map(|publisher| publisher.confirms.len() as u64).sum();
        assert!(confirmed > 0, "nothing was confirmed at all");
        assert!(seen.missing.is_empty(), "{} messages that were given back did not come again", seen.missing.len());
        let again = seen.deliveries - seen.delivered.len() as u64;
        Report { confirmed, repeated: again.saturating_sub(seen.given_back) }
    }
}

/// A message that was published and confirmed.
fn confirmed(history: &History) -> MessageId {
    let message = MessageId { producer: history.producer(), sequence: 0 };
    let before = history.sent("p", message);
    history.confirmed("p", message, before);
    message
}

#[test]
fn a_confirmed_message_that_never_comes_is_told() {
    let history = History::new(&["q"], &[]);
    let message = confirmed(&history);
    assert_eq!(history.missing(), 1);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history.check())).is_err());
    let consumer = history.consumer("pod");
    assert_eq!(history.delivered(0, &body(message, 32), false, consumer).0, message);
    assert_eq!((history.missing(), history.check()), (0, Report { confirmed: 1, repeated: 0 }));
}

#[test]
fn what_a_consumer_holds_may_come_again_only_where_its_broker_was_disturbed() {
    let history = History::new(&[], &["q"]);
    let message = confirmed(&history);
    let [here, there] = ["here", "there"].map(|pod| history.consumer(pod));
    history.delivered(0, &body(message, 32), false, here);
    history.disturb(&["here"]);
    history.delivered(0, &body(message, 32), true, there);
    history.whole();
    assert_eq!(history.check(), Report { confirmed: 1, repeated: 1 });
    history.delivered(0, &body(message, 32), true, history.consumer("third"));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history.check())).is_err());
}

#[test]
fn what_is_given_back_is_to_come_again_unless_it_did_since_or_is_acknowledged() {
    let history = History::new(&[], &["q"]);
    let message = confirmed(&history);
    let [here, there] = ["here", "there"].map(|pod| history.consumer(pod));
    let (_, first) = history.delivered(0, &body(message, 32), false, here);
    history.disturb(&["here"]);
    let (_, second) = history.delivered(0, &body(message, 32), true, there);
    history.given_back(0, message, first, here);
    assert_eq!(history.missing(), 0);
    history.given_back(0, message, second, there);
    assert_eq!(history.missing(), 1);
    let (_, third) = history.delivered(0, &body(message, 32), true, there);
    history.acknowledged(0, message, here);
    history.given_back(0, message, third, there);
    assert_eq!(history.missing(), 0, "it is acknowledged");
}
