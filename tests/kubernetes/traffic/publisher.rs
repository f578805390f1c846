//! A publisher with confirms, over whichever broker answers.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use ferrymq_testkit::MessageId;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation, PublisherConfirm};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::history::{History, body};
use super::link::{Link, Turn, connect};
use crate::world::Broker;

/// Between two messages: steady, and far from the most that brokers can, so that a pause is the cluster's.
const PACE: Duration = Duration::from_millis(5);

/// The most messages that wait for their confirm.
const WINDOW: usize = 256;

/// How long a confirm may take before the publisher takes another broker.
const PATIENCE: Duration = Duration::from_secs(10);

type Brokers = Arc<RwLock<Vec<Broker>>>;

/// Publishes until it is told to stop, then waits for the last confirms.
pub(super) async fn run(
    name: String,
    (exchange, bytes): (String, usize),
    first: String,
    brokers: Brokers,
    history: Arc<History>,
    mut publishing: watch::Receiver<bool>,
) {
    let mut turn = Turn::beginning_with(&first, &brokers);
    while *publishing.borrow_and_update() {
        let Some(link) = connect(&turn.next(&brokers).uri).await else { continue };
        // What goes wrong ends the connection. Nobody knows then what became of what was not confirmed: it may come, or not.
        let _ = over(&link, &name, (&exchange, bytes), &history, &mut publishing).await;
        link.close().await;
    }
}

/// Publishes over one connection, as one producer.
async fn over(
    link: &Link,
    name: &str,
    (exchange, bytes): (&str, usize),
    history: &History,
    publishing: &mut watch::Receiver<bool>,
) -> Result<(), lapin::Error> {
    link.channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let producer = history.producer();
    let mut sequences = 0..;
    let mut confirms = FuturesUnordered::new();
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let more = *publishing.borrow();
        if !more && confirms.is_empty() {
            return Ok(());
        }
        tokio::select! {
            _ = pace.tick(), if more && confirms.len() < WINDOW => {
                let Some(sequence) = sequences.next() else { return Ok(()) };
                let message = MessageId { producer, sequence };
                let before = history.sent(name, message);
                let options = BasicPublishOptions::default();
                let properties = BasicProperties::default().with_delivery_mode(2);
                let body = body(message, bytes);
                let publish = link.channel.basic_publish(exchange.into(), "work".into(), options, &body, properties);
                confirms.push(of(message, before, publish.await?));
            }
            Some((message, before, confirmed)) = confirms.next(), if !confirms.is_empty() => {
                // What is refused is not published again.
                if matches!(confirmed?, Confirmation::Ack(None)) {
                    history.confirmed(name, message, before);
                }
            }
            _ = publishing.changed() => {}
            () = tokio::time::sleep(PATIENCE), if !confirms.is_empty() => return Ok(()),
        }
    }
}

async fn of(
    message: MessageId,
    before: u64,
    confirm: PublisherConfirm,
) -> (MessageId, u64, Result<Confirmation, lapin::Error>) {
    (message, before, confirm.await)
}
