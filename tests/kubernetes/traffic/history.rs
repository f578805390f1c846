//! What clients did, and whether it may have happened.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What clients did. Messages are known by their publisher's name and their number there.
#[derive(Debug, Default)]
pub(crate) struct History {
    publishers: Mutex<BTreeMap<String, Publisher>>,
}

#[derive(Debug, Default)]
struct Publisher {
    /// One entry a message, by its number.
    messages: Vec<Message>,
    /// When a message was confirmed, one after the other.
    confirms: Vec<Instant>,
    /// The highest number that was delivered.
    highest: Option<usize>,
    /// Messages that came for the first time after one with a higher number, without having been handed out before.
    out_of_order: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Message {
    confirmed: bool,
    consumed: u64,
}

/// What is to be said of a history that may have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    /// Messages that were confirmed, all of which were consumed.
    pub(crate) confirmed: u64,
    /// Deliveries of messages that had been consumed already: at least once is not exactly once.
    pub(crate) repeated: u64,
    /// Messages that were overtaken by a later one of their publisher. Publishing again after a broken connection does it.
    pub(crate) out_of_order: u64,
}

/// A message's body: who published it as which number, filled up to a size.
pub(super) fn body(publisher: &str, number: u64, bytes: usize) -> Vec<u8> {
    let mut body = format!("{publisher} {number} ").into_bytes();
    body.resize(bytes.max(body.len()), b'.');
    body
}

fn parsed(body: &[u8]) -> Option<(&str, usize)> {
    let mut words = str::from_utf8(body).ok()?.split(' ');
    Some((words.next()?, words.next()?.parse().ok()?))
}

impl History {
    /// A message is about to be published; its number.
    pub(super) fn publish(&self, publisher: &str) -> u64 {
        self.of(publisher, |publisher| {
            publisher.messages.push(Message::default());
            publisher.messages.len() as u64 - 1
        })
    }

    /// A message was confirmed.
    pub(super) fn confirm(&self, publisher: &str, number: u64) {
        self.of(publisher, |publisher| {
            publisher.messages[number as usize].confirmed = true;
            publisher.confirms.push(Instant::now());
        });
    }

    /// A message was delivered. Panics where nobody published it.
    pub(super) fn consume(&self, body: &[u8], redelivered: bool) {
        let shown = || String::from_utf8_lossy(body).into_owned();
        let (publisher, number) = parsed(body).unwrap_or_else(|| panic!("nobody published this: {}", shown()));
        self.of(publisher, |publisher| {
            let message = publisher.messages.get_mut(number).unwrap_or_else(|| panic!("published later: {}", shown()));
            message.consumed += 1;
            if message.consumed == 1 && !redelivered && publisher.highest > Some(number) {
                publisher.out_of_order += 1;
            }
            publisher.highest = publisher.highest.max(Some(number));
        });
    }

    /// How many messages a publisher has published.
    pub(super) fn published(&self, publisher: &str) -> u64 {
        self.of(publisher, |publisher| publisher.messages.len() as u64)
    }

    /// How many messages with this number or a higher one were confirmed.
    pub(super) fn confirmed_from(&self, publisher: &str, number: u64) -> u64 {
        self.of(publisher, |publisher| {
            publisher.messages.iter().skip(number as usize).filter(|message| message.confirmed).count() as u64
        })
    }

    /// The longest time without a confirm since then.
    pub(super) fn longest_pause(&self, publisher: &str, since: Instant) -> Duration {
        self.of(publisher, |publisher| {
            let confirms = &publisher.confirms;
            let pauses = confirms.windows(2).filter(|pair| pair[1] > since).map(|pair| pair[1] - pair[0]);
            pauses.max().unwrap_or(Duration::MAX)
        })
    }

    /// Whether all that was confirmed is consumed.
    pub(super) fn all_arrived(&self) -> bool {
        let publishers = self.publishers.lock().expect("nobody panics with this lock");
        let mut messages = publishers.values().flat_map(|publisher| &publisher.messages);
        messages.all(|message| !message.confirmed || message.consumed > 0)
    }

    /// Panics where a confirmed message was not consumed.
    pub(super) fn check(&self) -> Report {
        let publishers = self.publishers.lock().expect("nobody panics with this lock");
        let mut report = Report { confirmed: 0, repeated: 0, out_of_order: 0 };
        for (name, publisher) in publishers.iter() {
            let numbered = publisher.messages.iter().enumerate();
            let lost: Vec<_> = numbered.filter(|(_, m)| m.confirmed && m.consumed == 0).map(|(n, _)| n).collect();
            let shown = &lost[..lost.len().min(10)];
            assert!(lost.is_empty(), "{name}: {} confirmed messages were lost, first {shown:?}", lost.len());
            report.confirmed += publisher.messages.iter().filter(|message| message.confirmed).count() as u64;
            report.repeated += publisher.messages.iter().map(|message| message.consumed.saturating_sub(1)).sum::<u64>();
            report.out_of_order += publisher.out_of_order;
        }
        assert!(report.confirmed > 0, "nothing was confirmed at all");
        report
    }

    fn of<T>(&self, publisher: &str, act: impl FnOnce(&mut Publisher) -> T) -> T {
        let mut publishers = self.publishers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        act(publishers.entry(publisher.to_owned()).or_default())
    }
}

#[test]
fn a_confirmed_message_that_never_comes_is_told() {
    let history = History::default();
    let number = history.publish("p");
    history.confirm("p", number);
    assert!(!history.all_arrived());
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history.check())).is_err());
}

#[test]
fn what_comes_twice_or_late_is_counted() {
    let history = History::default();
    for number in 0..3 {
        assert_eq!(history.publish("p"), number);
        history.confirm("p", number);
    }
    for number in [0, 2, 1, 1] {
        history.consume(&body("p", number, 32), false);
    }
    assert_eq!(history.check(), Report { confirmed: 3, repeated: 1, out_of_order: 1 });
}
