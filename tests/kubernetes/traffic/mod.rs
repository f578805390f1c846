//! Publishers and consumers that do as they should, and the history of what they did.
//!
//! A publisher publishes on until its message is confirmed, over whichever broker answers. A consumer acknowledges what it
//! has noted. So every message that was confirmed must be in the history as consumed, whatever was broken meanwhile.

mod consumer;
mod history;
mod link;
mod publisher;

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use history::{History, Report};
pub(crate) use link::connect;

use crate::world::{Broker, World, until};

/// How long everything that was confirmed may take to arrive, once nothing is broken any more.
const ARRIVAL: Duration = Duration::from_secs(60);

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
    /// Nobody is at work yet.
    pub(crate) async fn new(world: &World) -> Self {
        Self {
            history: Arc::default(),
            brokers: Arc::new(RwLock::new(world.brokers().await)),
            publishing: watch::channel(true).0,
            consuming: watch::channel(true).0,
            publishers: Vec::new(),
            consumers: Vec::new(),
        }
    }

    /// Starts a publisher with confirms, which connects to a broker's pod first. It has a name of its own.
    pub(crate) fn publish(&mut self, name: &str, exchange: &str, first: &str) {
        let (brokers, history) = (self.brokers.clone(), self.history.clone());
        let (exchange, first, publishing) = (exchange.to_owned(), first.to_owned(), self.publishing.subscribe());
        let work = publisher::run(name.to_owned(), exchange, first, brokers, history, publishing);
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
        *self.brokers.write().expect("nobody panics with this lock") = world.brokers().await;
    }

    /// Waits until every publisher has had `more` messages confirmed that were published after now.
    pub(crate) async fn flowing(&self, more: u64, within: Duration) {
        let before: Vec<_> = self.publishers.iter().map(|(name, _)| self.history.published(name)).collect();
        for ((name, _), before) in self.publishers.iter().zip(before) {
            until(&format!("publisher {name} to have {more} more messages confirmed"), within, async || {
                (self.history.confirmed_from(name, before) >= more).then_some(())
            })
            .await;
        }
    }

    /// The longest time that each publisher waited for a confirm since then.
    pub(crate) fn pauses(&self, since: Instant) -> Vec<(&str, Duration)> {
        let pause = |(name, _): &'_ (String, JoinHandle<()>)| self.history.longest_pause(name, since);
        self.publishers.iter().map(|publisher| (publisher.0.as_str(), pause(publisher))).collect()
    }

    /// Lets the publishers have all confirmed that they published, and end.
    pub(crate) async fn stop_publishing(&mut self) {
        self.publishing.send_replace(false);
        for (name, publisher) in self.publishers.drain(..) {
            let ended = tokio::time::timeout(ARRIVAL, publisher).await;
            ended.unwrap_or_else(|_| panic!("publisher {name} has messages that nobody confirms")).expect("it ends");
        }
    }

    /// Stops, waits until everything that was confirmed is consumed, and checks the history.
    pub(crate) async fn settle(mut self) -> Report {
        self.stop_publishing().await;
        let started = Instant::now();
        while !self.history.all_arrived() && started.elapsed() < ARRIVAL {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.consuming.send_replace(false);
        for consumer in self.consumers.drain(..) {
            consumer.await.expect("a consumer ends");
        }
        self.history.check()
    }
}
