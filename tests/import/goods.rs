//! Messages that tell which they are, put into RabbitMQ and looked for in FerryMQ.

use futures::StreamExt;
use lapin::{
    BasicProperties, Channel, ExchangeKind,
    options::{BasicAckOptions, BasicQosOptions, ExchangeDeclareOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use crate::rabbit::channel;

/// Publishes that may wait for their confirm.
const WINDOW: usize = 500;

/// A durable queue of this type, bound to the exchange `orders` by `NAME.#`.
pub(crate) async fn declare(channel: &Channel, name: &str, kind: &str) {
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let none = FieldTable::default;
    channel.exchange_declare("orders".into(), ExchangeKind::Topic, durable, none()).await.unwrap();
    let mut arguments = none();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name.into(), durable, arguments).await.unwrap();
    let key = format!("{name}.#");
    channel.queue_bind(name.into(), "orders".into(), key.as_str().into(), Default::default(), none()).await.unwrap();
}

/// The properties of message `number`; every kind of header in turn, and large ones sometimes.
fn properties(number: u64) -> BasicProperties {
    let mut inner = FieldTable::default();
    inner.insert("deep".into(), AMQPValue::Double(number as f64 / 3.0));
    let mut headers = FieldTable::default();
    headers.insert("number".into(), AMQPValue::LongLongInt(number as i64));
    headers.insert("text".into(), AMQPValue::LongString("ä".repeat((number % 97) as usize).into()));
    match number % 6 {
        0 => headers.insert("more".into(), AMQPValue::FieldTable(inner)),
        1 => headers.insert("more".into(), AMQPValue::Boolean(true)),
        2 => headers.insert("more".into(), AMQPValue::Timestamp(number)),
        3 => headers.insert("more".into(), AMQPValue::Void),
        4 => headers.insert("more".into(), AMQPValue::FieldArray(vec![AMQPValue::LongInt(7), AMQPValue::Void].into())),
        _ => headers.insert("more".into(), AMQPValue::ByteArray(vec![0, 255].into())),
    };
    BasicProperties::default()
        .with_headers(headers)
        .with_message_id(format!("m-{number}").into())
        .with_content_type("text/plain".into())
        .with_delivery_mode(2)
        // The same for all: RabbitMQ hands out those of a higher priority first, also of queues that ask for no such thing.
        .with_priority(3)
        .with_timestamp(1_700_000_000 + number)
}

fn body(number: u64) -> Vec<u8> {
    format!("{number}:").into_bytes().repeat((number % 40) as usize)
}

/// How message `number` of a queue was published: by its name, or by an exchange.
fn way(queue: &str, number: u64) -> (&'static str, String) {
    if number.is_multiple_of(2) { ("", queue.to_owned()) } else { ("orders", format!("{queue}.{}", number % 10)) }
}

/// Publishes messages of these numbers to a queue, confirmed.
pub(crate) async fn put(channel: &Channel, queue: &str, numbers: std::ops::Range<u64>) {
    let numbers: Vec<_> = numbers.collect();
    for part in numbers.chunks(WINDOW) {
        let mut confirms = Vec::new();
        for number in part {
            let (exchange, key) = way(queue, *number);
            let (key, body, options) = (key.as_str().into(), body(*number), Default::default());
            let sent = channel.basic_publish(exchange.into(), key, options, &body, properties(*number)).await;
            confirms.push(sent.unwrap());
        }
        for confirm in confirms {
            assert!(confirm.await.unwrap().is_ack());
        }
    }
}

/// Takes all messages of a queue, and makes sure that they are those of these numbers, once each, in order, and whole.
pub(crate) async fn take(uri: &str, queue: &str, numbers: std::ops::Range<u64>) {
    let (connection, channel) = channel(uri).await;
    let declared = QueueDeclareOptions { passive: true, ..Default::default() };
    let found = channel.queue_declare(queue.into(), declared, FieldTable::default()).await.unwrap().message_count();
    assert_eq!(u64::from(found), numbers.end - numbers.start, "messages of {queue}");
    channel.basic_qos(500, BasicQosOptions::default()).await.unwrap();
    let mut consumer =
        channel.basic_consume(queue.into(), "".into(), Default::default(), FieldTable::default()).await.unwrap();
    for number in numbers {
        let delivery = consumer.next().await.unwrap().unwrap();
        assert_eq!(own(&delivery.properties), properties(number), "message {number} of {queue}");
        assert_eq!(delivery.data, body(number), "message {number} of {queue}");
        assert_eq!(delivery.routing_key.as_str(), way(queue, number).1);
        delivery.ack(BasicAckOptions::default()).await.unwrap();
    }
    connection.close(200, "done".into()).await.unwrap();
}

/// Without what RabbitMQ's quorum queues add to messages that they hand out again.
fn own(given: &BasicProperties) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in given.headers().iter().flatten() {
        if !["x-delivery-count", "x-acquired-count"].contains(&name.as_str()) {
            headers.insert(name.clone(), value.clone());
        }
    }
    given.clone().with_headers(headers)
}

/// Messages of a queue that nobody holds.
pub(crate) async fn count(uri: &str, queue: &str) -> u32 {
    let (connection, channel) = channel(uri).await;
    let declared = QueueDeclareOptions { passive: true, ..Default::default() };
    let count = channel.queue_declare(queue.into(), declared, FieldTable::default()).await.unwrap().message_count();
    connection.close(200, "done".into()).await.unwrap();
    count
}
