//! Requests that wait, clients that do not read: nobody else is kept from anything.

use std::time::Duration;

use ferrymq_amqp::{
    Settings,
    codec::{BasicAck, BasicConsume, FrameKind, Method},
};
use ferrymq_core::Confirmation;
use ferrymq_testkit::FakeBroker;
use tokio::io::AsyncReadExt;

use crate::client::Client;

#[tokio::test(start_paused = true)]
async fn while_a_publish_waits_confirms_deliveries_and_heartbeats_go_on() {
    let broker = FakeBroker::new();
    let mut other = Client::with_channel(&broker).await;
    other.declare(1, "q").await;
    let mut client = Client::unspoken(&broker, Settings::default(), 1 << 16);
    client.log_in("guest", "guest").await;
    client.tune(0, 0, 20).await;
    client.method(0).await;
    client.open(1).await;
    client.open(2).await;
    client.confirm(1).await;
    client.consume(2, "q", "c").await;
    broker.hold_confirms();
    client.publish(1, "nobody", b"a").await;
    assert_eq!(client.method(1).await, BasicAck { delivery_tag: 1, multiple: false }.into());
    other.declare(1, "kept").await;
    client.publish(1, "kept", b"b").await;
    client.sync(1).await;
    other.publish(1, "q", b"before").await;
    other.sync(1).await;
    broker.hold_publishes();
    client.publish(1, "kept", b"c").await;
    broker.publishes_are_waiting(1).await;
    assert_eq!(client.delivered(2).await.1, "before");
    broker.release_confirms(|_| Some(Confirmation::Stored));
    assert_eq!(client.method(1).await, BasicAck { delivery_tag: 2, multiple: false }.into());
    // Far longer than a silent client is suffered: nobody listens to this one.
    for _ in 0..20 {
        assert_eq!(client.any_frame().await.unwrap().kind, FrameKind::Heartbeat);
    }
    broker.release_publishes();
    broker.until(|broker| broker.confirms_held() == 1).await;
    broker.release_confirms(|_| Some(Confirmation::Stored));
    loop {
        let frame = client.any_frame().await.unwrap();
        if frame.kind == FrameKind::Method {
            let ack = BasicAck { delivery_tag: 3, multiple: false };
            assert_eq!(Method::decode(&frame.payload).unwrap(), ack.into());
            break;
        }
    }
}

#[tokio::test]
async fn a_broker_that_stops_lets_go_of_a_client_whose_publish_waits() {
    let broker = FakeBroker::new();
    let mut client = Client::with_channel(&broker).await;
    client.declare(1, "q").await;
    broker.hold_publishes();
    client.publish(1, "q", b"m").await;
    broker.publishes_are_waiting(1).await;
    client.shutdown.send_replace(true);
    assert_eq!(client.connection_closed().await.0, 320);
    assert_eq!(broker.sessions(), 0);
}

#[tokio::test]
async fn what_a_client_does_not_read_stays_with_the_broker() {
    let broker = FakeBroker::new();
    let mut publisher = Client::with_channel(&broker).await;
    publisher.declare(1, "q").await;
    let mut slow = Client::connected_with(&broker, Settings::default(), 4096).await;
    slow.open(1).await;
    slow.consume(1, "q", "c").await;
    let body = vec![1; 10_000];
    for _ in 0..1000 {
        publisher.publish(1, "q", &body).await;
    }
    publisher.sync(1).await;
    let (ready, handed_out) = broker.depth("q").unwrap();
    assert_eq!(ready + handed_out, 1000);
    // One window, and what the connection took before its buffer was full.
    assert!(handed_out < 600, "{handed_out} handed out");
    // It still gets all of it, in order, once it reads.
    for tag in 1..=1000 {
        let (deliver, delivered) = slow.delivery(1).await;
        assert_eq!((deliver.delivery_tag, delivered.len()), (tag, body.len()));
    }
}

#[tokio::test]
async fn a_client_that_reads_all_at_once_gets_what_was_kept_from_it() {
    const MESSAGES: usize = 2000;
    let broker = FakeBroker::new();
    let mut publisher = Client::with_channel(&broker).await;
    publisher.declare(1, "q").await;
    let body = vec![1; 10_000];
    for _ in 0..MESSAGES {
        publisher.publish(1, "q", &body).await;
    }
    publisher.sync(1).await;
    // The socket takes one window of deliveries, and a little of the next: what is left is above the mark, and is gone
    // in one write once the client read.
    let mut client = Client::connected_with(&broker, Settings::default(), 2_700_000).await;
    client.open(1).await;
    client.send(1, BasicConsume { queue: "q".into(), no_ack: true, ..Default::default() }).await;
    let mut read = 0;
    let mut room = vec![0; 8 << 20];
    while read < MESSAGES * body.len() {
        read += client.socket.read(&mut room).await.unwrap();
    }
    broker.until(|broker| broker.depth("q") == Some((0, 0))).await;
}

#[tokio::test]
async fn deliveries_that_overtake_the_answer_to_consume_come_after_it() {
    let broker = FakeBroker::new();
    let mut publisher = Client::with_channel(&broker).await;
    publisher.declare(1, "q").await;
    let mut client = Client::with_channel(&broker).await;
    broker.hold_subscriptions();
    let consume = BasicConsume { queue: "q".into(), consumer_tag: "c".into(), ..Default::default() };
    client.send(1, consume).await;
    publisher.publish(1, "q", b"1").await;
    publisher.publish(1, "q", b"2").await;
    broker.until(|broker| broker.depth("q") == Some((0, 2))).await;
    publisher.sync(1).await;
    broker.release_subscriptions();
    assert!(matches!(client.method(1).await, Method::BasicConsumeOk(_)));
    assert_eq!(client.delivered(1).await, (1, "1".to_owned()));
    assert_eq!(client.delivered(1).await, (2, "2".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_and_never_reads_is_not_listened_to_without_end() {
    let broker = FakeBroker::new();
    let mut client = Client::connected_with(&broker, Settings::default(), 4096).await;
    client.open(1).await;
    let declare = ferrymq_amqp::codec::QueueDeclare { queue: "q".repeat(255).into(), ..Default::default() };
    let mut question = bytes::BytesMut::new();
    ferrymq_amqp::codec::put_method(&mut question, 1, &declare.into());
    let mut asked: u64 = 0;
    let stuck = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            tokio::io::AsyncWriteExt::write_all(&mut client.socket, &question).await.unwrap();
            asked += 1;
            if asked > 100_000 {
                break;
            }
        }
    });
    assert!(stuck.await.is_err(), "{asked} questions were taken");
    assert!(asked < 60_000);
}
