//! A consumer that holds what came last, acknowledges most of it, and gives some back.

use std::collections::VecDeque;
use std::sync::{Arc, RwLock};

use ferrymq_testkit::MessageId;
use futures::StreamExt as _;
use lapin::Acker;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::sync::watch;

use super::history::History;
use super::link::{Link, Turn, connect};
use crate::world::Broker;

/// The most messages that the consumer has unacknowledged, with those that are on their way.
const PREFETCH: u16 = 64;

/// Messages that it holds before it settles the oldest.
const HOLDS: usize = 16;

/// One in so many is given back, once.
const GIVES_BACK: u64 = 97;

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
        let broker = turn.next(&brokers);
        let Some(link) = connect(&broker.uri).await else { continue };
        let consumer = history.consumer(&broker.pod);
        tokio::select! {
            // What goes wrong ends the connection; what was not acknowledged comes again over the next.
            _ = over(&link, &queue, consumer, &history) => {}
            () = link.gone() => {}
            _ = consuming.changed() => {}
        }
        history.gone(consumer);
        link.close().await;
    }
}

async fn over(link: &Link, name: &str, consumer: u64, history: &History) -> Result<(), lapin::Error> {
    link.channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let mut deliveries = link.channel.basic_consume(name.into(), "".into(), options, FieldTable::default()).await?;
    let queue = history.queue(name);
    let mut held: VecDeque<(MessageId, u64, bool, Acker)> = VecDeque::new();
    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery?;
        let (message, number) = history.delivered(queue, &delivery.data, delivery.redelivered, consumer);
        held.push_back((message, number, delivery.redelivered, delivery.acker));
        if held.len() <= HOLDS {
            continue;
        }
        if let Some((message, number, redelivered, acker)) = held.pop_front() {
            if message.sequence.is_multiple_of(GIVES_BACK) && !redelivered {
                history.given_back(queue, message, number, consumer);
                acker.nack(BasicNackOptions { requeue: true, multiple: false }).await?;
            } else {
                history.acknowledged(queue, message, consumer);
                acker.ack(BasicAckOptions::default()).await?;
            }
        }
    }
    Ok(())
}
