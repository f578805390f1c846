//! A publisher that publishes on until what it published is confirmed.

use std::collections::BTreeSet;
use std::sync::{Arc, RwLock};
use std::time::Duration;

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

/// The number of bytes of each message.
const BODY: usize = 256;

type Brokers = Arc<RwLock<Vec<Broker>>>;

/// Publishes until it is told to stop, then has the rest confirmed.
pub(super) async fn run(
    name: String,
    exchange: String,
    first: String,
    brokers: Brokers,
    history: Arc<History>,
    mut publishing: watch::Receiver<bool>,
) {
    let mut turn = Turn::beginning_with(&first, &brokers);
    let mut waiting = BTreeSet::new();
    while *publishing.borrow_and_update() || !waiting.is_empty() {
        let Some(link) = connect(&turn.next(&brokers)).await else { continue };
        // What goes wrong ends the connection, and what was not confirmed is published again over the next.
        let _ = over(&link, &name, &exchange, &history, &mut waiting, &mut publishing).await;
        link.close().await;
    }
}

/// Publishes over one connection: first what waits for its confirm since the last one broke.
async fn over(
    link: &Link,
    name: &str,
    exchange: &str,
    history: &History,
    waiting: &mut BTreeSet<u64>,
    publishing: &mut watch::Receiver<bool>,
) -> Result<(), lapin::Error> {
    link.channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let publish = async |number: u64| {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default().with_delivery_mode(2));
        let body = body(name, number, BODY);
        link.channel.basic_publish(exchange.into(), "work".into(), options, &body, properties).await
    };
    let mut confirms = FuturesUnordered::new();
    for number in waiting.iter().copied() {
        confirms.push(numbered(number, publish(number).await?));
    }
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let more = *publishing.borrow();
        if !more && confirms.is_empty() {
            return Ok(());
        }
        tokio::select! {
            _ = pace.tick(), if more && confirms.len() < WINDOW => {
                let number = history.publish(name);
                waiting.insert(number);
                confirms.push(numbered(number, publish(number).await?));
            }
            Some((number, confirmed)) = confirms.next(), if !confirms.is_empty() => {
                // A refused message is published again over the next connection.
                if !matches!(confirmed?, Confirmation::Ack(None)) {
                    return Ok(());
                }
                history.confirm(name, number);
                waiting.remove(&number);
            }
            _ = publishing.changed() => {}
            () = tokio::time::sleep(PATIENCE), if !confirms.is_empty() => return Ok(()),
        }
    }
}

async fn numbered(number: u64, confirm: PublisherConfirm) -> (u64, Result<Confirmation, lapin::Error>) {
    (number, confirm.await)
}
