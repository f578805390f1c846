//! Publishers and consumers that do as they should, and the history of what they did.
//!
//! A publisher publishes over whichever broker answers, each time as another producer. A consumer acknowledges what it has
//! noted. The history is checked as that of the simulation is (`ferrymq_testkit::History`): what was confirmed comes, what a
//! consumer holds comes to nobody else, and in order. Whoever disturbs brokers says which, and when all is whole again.

mod consumer;
mod history;
mod link;
mod publisher;

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use history::{History, Report};
pub(crate) use link::{Link, connect};

use crate::world::{Broker, World, until};

/// How long everything that was confirmed may take to arrive, once nothing is broken any more.
const ARRIVAL: Duration = Duration::from_secs(60);

/// The number of bytes of a message.
const BODY: usize = 256;

/// Clients that are at work.
pub(crate) struct Traffic {
    history: Arc<History>,
    brokers: Arc<RwLock<Vec<Broker>>>,
    publishing: watch::Sender<bool>,
    consuming: watch::Sender<bool>,
    publishers: Vec<(String, JoinHandle<()>)>,
    consumers: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Nobody is at work yet. There is a queue `work`, which has one consumer.
    pub(crate) async fn new(world: &World) -> Self {
        Self::of(world, &["work"], &[]).await
    }

    /// Nobody is at work yet. There are queues that have one consumer each, and others that may have many; all of them get
    /// every message.
    pub(crate) async fn of(world: &World, ordered: &[&str], shared: &[&str]) -> Self {
        Self::among(world.brokers().await, ordered, shared)
    }

    /// Nobody is at work yet, and clients connect to these. There is a queue `work`, which has one consumer.
    pub(crate) fn over(brokers: Vec<Broker>) -> Self {
        Self::among(brokers, &["work"], &[])
    }

    fn among(brokers: Vec<Broker>, ordered: &[&str], shared: &[&str]) -> Self {
        Self {
            history: Arc::new(History::new(ordered, shared)),
            brokers: Arc::new(RwLock::new(brokers)),
            publishing: watch::channel(true).0,
            consuming: watch::channel(true).0,
            publishers: Vec::new(),
            consumers: Vec::new(),
        }
    }

    /// Starts a publisher with confirms, which connects to a broker's pod first. It has a name of its own.
    pub(crate) fn publish(&mut self, name: &str, exchange: &str, first: &str) {
        self.publish_bodies(name, exchange, first, BODY);
    }

    /// The same, of messages of so many bytes.
    pub(crate) fn publish_bodies(&mut self, name: &str, exchange: &str, first: &str, bytes: usize) {
        let (brokers, history) = (self.brokers.clone(), self.history.clone());
        let (exchange, first, publishing) = (exchange.to_owned(), first.to_owned(), self.publishing.subscribe());
        let work = publisher::run(name.to_owned(), (exchange, bytes), first, brokers, history, publishing);
        self.publishers.push((name.to_owned(), tokio::spawn(work)));
    }

    /// Starts a consumer with acknowledgements, which connects to a broker's pod first.
    pub(crate) fn consume(&mut self, queue: &str, first: &str) {
        let (brokers, history) = (self.brokers.clone(), self.history.clone());
        let work = consumer::run(queue.to_owned(), first.to_owned(), brokers, history, self.consuming.subscribe());
        self.consumers.push(tokio::spawn(work));
    }

    /// Looks anew where the brokers are, as a client of a Service does.
    pub(crate) async fn find_brokers(&self, world: &World) {
        self.connect_to(world.brokers().await);
    }

    /// Who connects from now on does so by these addresses.
    pub(crate) fn connect_to(&self, brokers: Vec<Broker>) {
        *self.brokers.write().expect("nobody panics with this lock") = brokers;
    }

    /// Waits until every publisher has had `more` messages confirmed that were published after now.
    pub(crate) async fn flowing(&self, more: u64, within: Duration) {
        let before: Vec<_> = self.publishers.iter().map(|(name, _)| self.history.sent_by(name)).collect();
        for ((name, _), before) in self.publishers.iter().zip(before) {
            until(&format!("publisher {name} to have {more} more messages confirmed"), within, async || {
                (self.history.confirmed_from(name, before) >= more).then_some(())
            })
            .await;
        }
    }

    /// These brokers are about to be disturbed.
    pub(crate) fn disturb(&self, pods: &[&str]) {
        self.history.disturb(pods);
    }

    /// All brokers are whole again.
    pub(crate) fn whole(&self) {
        self.history.whole();
    }

    /// Waits until no publisher has had anything confirmed for so long.
    pub(crate) async fn halted(&self, quiet: Duration, within: Duration) {
        for (name, _) in &self.publishers {
            until(&format!("publisher {name} to wait"), within, async || {
                let since = self.history.last_confirm(name).map(|last| last.elapsed());
                since.is_none_or(|since| since > quiet).then_some(())
            })
            .await;
        }
    }

    /// How many messages were confirmed and not delivered yet.
    pub(crate) fn missing(&self) -> usize {
        self.history.missing()
    }

    /// Waits until all that was confirmed was delivered.
    pub(crate) async fn drained(&self, within: Duration) {
        until("all that was confirmed to be delivered", within, async || (self.history.missing() == 0).then_some(()))
            .await;
    }

    /// The longest time that each publisher waited for a confirm since then.
    pub(crate) fn pauses(&self, since: Instant) -> Vec<(&str, Duration)> {
        let pause = |(name, _): &'_ (String, JoinHandle<()>)| self.history.longest_pause(name, since);
        self.publishers.iter().map(|publisher| (publisher.0.as_str(), pause(publisher))).collect()
    }

    /// Lets the publishers end, once what they published is confirmed.
    pub(crate) async fn stop_publishing(&mut self) {
        self.publishing.send_replace(false);
        for (name, publisher) in self.publishers.drain(..) {
            let ended = tokio::time::timeout(ARRIVAL, publisher).await;
            ended.unwrap_or_else(|_| panic!("publisher {name} has messages that nobody confirms")).expect("it ends");
        }
        self.publishing = watch::channel(true).0;
    }

    /// Waits until all that was confirmed was delivered from a queue.
    pub(crate) async fn drained_from(&self, queue: &str, within: Duration) {
        let what = format!("all that was confirmed to be delivered from {queue}");
        until(&what, within, async || (self.history.missing_from(queue) == 0).then_some(())).await;
    }

    /// Lets the consumers end, which have acknowledged all that they were delivered.
    pub(crate) async fn stop_consuming(&mut self) {
        self.consuming.send_replace(false);
        for consumer in self.consumers.drain(..) {
            consumer.await.expect("a consumer ends");
        }
        self.consuming = watch::channel(true).0;
    }

    /// Stops, waits until everything that was confirmed is consumed, and checks the history.
    pub(crate) async fn settle(mut self) -> Report {
        self.stop_publishing().await;
        let started = Instant::now();
        while self.history.missing() > 0 && started.elapsed() < ARRIVAL {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.stop_consuming().await;
        self.history.check()
    }
}
