//! The main paths, by a client library that others use.

use std::{net::SocketAddr, sync::Arc};

use ferrymq_amqp::Settings;
use ferrymq_testkit::FakeBroker;
use futures::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};
use tokio::{net::TcpListener, sync::watch};

async fn listening(broker: FakeBroker) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (_shutdown, stopped) = watch::channel(false);
        let settings = Arc::new(Settings::default());
        while let Ok((socket, peer)) = listener.accept().await {
            tokio::spawn(ferrymq_amqp::serve(broker.clone(), socket, peer, Arc::clone(&settings), stopped.clone()));
        }
    });
    address
}

async fn connected(broker: &FakeBroker) -> Connection {
    let uri = format!("amqp://guest:guest@{}/%2f", listening(broker.clone()).await);
    Connection::connect(&uri, ConnectionProperties::default()).await.unwrap()
}

async fn publish(channel: &Channel, exchange: &str, key: &str, body: &[u8]) -> Confirmation {
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let properties = BasicProperties::default().with_content_type("text/plain".into()).with_delivery_mode(2);
    channel.basic_publish(exchange.into(), key.into(), options, body, properties).await.unwrap().await.unwrap()
}

#[tokio::test]
async fn what_is_published_with_confirms_is_consumed_and_acknowledged() {
    let broker = FakeBroker::new();
    let connection = connected(&broker).await;
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let exchange = ExchangeKind::Topic;
    channel
        .exchange_declare("logs".into(), exchange, ExchangeDeclareOptions::default(), FieldTable::default())
        .await
        .unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare("q".into(), durable, arguments).await.unwrap();
    let bind = QueueBindOptions::default();
    channel.queue_bind("q".into(), "logs".into(), "#.error".into(), bind, FieldTable::default()).await.unwrap();

    let mut confirms = Vec::new();
    for number in 0..1000 {
        let body = format!("message {number}");
        let publish = BasicPublishOptions::default();
        let properties = BasicProperties::default().with_message_id(body.clone().into());
        let confirm = channel
            .basic_publish("logs".into(), "a.b.error".into(), publish, body.as_bytes(), properties)
            .await
            .unwrap();
        confirms.push(confirm);
    }
    for confirm in confirms {
        assert_eq!(confirm.await.unwrap(), Confirmation::Ack(None));
    }

    let consumed = connection.create_channel().await.unwrap();
    consumed.basic_qos(50, BasicQosOptions::default()).await.unwrap();
    let consume = BasicConsumeOptions::default();
    let mut consumer = consumed.basic_consume("q".into(), "".into(), consume, FieldTable::default()).await.unwrap();
    for number in 0..1000 {
        let delivery = consumer.next().await.unwrap().unwrap();
        assert_eq!(delivery.data, format!("message {number}").as_bytes());
        assert_eq!(delivery.properties.message_id().as_ref().unwrap().as_str(), format!("message {number}"));
        delivery.ack(BasicAckOptions::default()).await.unwrap();
    }
    broker.until(|broker| broker.depth("q") == Some((0, 0))).await;
    connection.close(200, "bye".into()).await.unwrap();
    broker.until(|broker| broker.sessions() == 0).await;
}

#[tokio::test]
async fn a_large_message_and_an_unroutable_one_come_back_whole() {
    let broker = FakeBroker::new();
    let connection = connected(&broker).await;
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    channel.queue_declare("q".into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
    let body: Vec<u8> = (0..3_000_000_u32).map(|index| index.to_le_bytes()[1]).collect();
    assert_eq!(publish(&channel, "", "q", &body).await, Confirmation::Ack(None));
    let got = channel.basic_get("q".into(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
    assert!(got.data == body);
    assert_eq!(got.properties.content_type().as_ref().unwrap().as_str(), "text/plain");
    let Confirmation::Ack(Some(returned)) = publish(&channel, "", "nowhere", &body).await else {
        panic!("not returned")
    };
    assert!(returned.data == body);
    assert_eq!(returned.reply_code, 312);
}

#[tokio::test]
async fn a_refusal_closes_the_channel_and_the_next_one_works() {
    let broker = FakeBroker::new();
    let connection = connected(&broker).await;
    let channel = connection.create_channel().await.unwrap();
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let refused = channel.queue_declare("none".into(), passive, FieldTable::default()).await.unwrap_err();
    assert!(refused.to_string().contains("no queue 'none' in vhost '/'"), "{refused}");
    let channel = connection.create_channel().await.unwrap();
    channel.queue_declare("q".into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
    assert_eq!(channel.queue_delete("q".into(), QueueDeleteOptions::default()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_wrong_password_is_an_error_that_says_so() {
    let uri = format!("amqp://guest:wrong@{}/%2f", listening(FakeBroker::new()).await);
    let refused = Connection::connect(&uri, ConnectionProperties::default()).await.unwrap_err();
    assert!(refused.to_string().contains("ACCESS_REFUSED"), "{refused}");
}
