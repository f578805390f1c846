//! A consumer that acknowledges what it has noted.

use std::sync::{Arc, RwLock};

use futures::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::sync::watch;

use super::history::History;
use super::link::{Link, Turn, connect};
use crate::world::Broker;

/// The most messages that the consumer holds unacknowledged.
const PREFETCH: u16 = 64;

/// Consumes until it is told to stop.
pub(super) async fn run(
    queue: String,
    first: String,
    brokers: Arc<RwLock<Vec<Broker>>>,
    history: Arc<History>,
    mut consuming: watch::Receiver<bool>,
) {
    let mut turn = Turn::beginning_with(&first, &brokers);
    while *consuming.borrow() {
        let Some(link) = connect(&turn.next(&brokers)).await else { continue };
        tokio::select! {
            // What goes wrong ends the connection; what was not acknowledged comes again over the next.
            _ = over(&link, &queue, &history) => {}
            _ = consuming.changed() => {}
        }
        link.close().await;
    }
}

async fn over(link: &Link, queue: &str, history: &History) -> Result<(), lapin::Error> {
    link.channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let mut deliveries = link.channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery?;
        history.consume(&delivery.data, delivery.redelivered);
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}
