//! Messages on their way out, and what becomes of them.

use ferrymq_amqp::codec::{
    BasicAck, BasicCancel, BasicCancelOk, BasicConsume, BasicGet, BasicNack, BasicQos, BasicRecover, BasicRecoverAsync,
    BasicReject, ChannelClose, Method, QueueDelete,
};
use ferrymq_testkit::FakeBroker;

use crate::client::{Client, closed};

async fn with_messages(broker: &FakeBroker, count: u32) -> Client {
    let mut client = Client::with_channel(broker).await;
    client.declare(1, "q").await;
    for number in 1..=count {
        client.publish(1, "q", number.to_string().as_bytes()).await;
    }
    client.sync(1).await;
    client
}

async fn qos(client: &mut Client, prefetch_count: u16, global: bool) {
    let qos = BasicQos { prefetch_size: 0, prefetch_count, global };
    assert!(matches!(client.ask(1, qos).await, Method::BasicQosOk(_)));
}

#[tokio::test]
async fn messages_are_delivered_in_order_and_leave_when_they_are_acknowledged() {
    let broker = FakeBroker::new();
    let mut client = with_messages(&broker, 3).await;
    client.consume(1, "q", "c").await;
    let (first, body) = client.delivery(1).await;
    assert_eq!((&*first.consumer_tag, first.delivery_tag, first.redelivered), ("c", 1, false));
    assert_eq!((&*first.exchange, &*first.routing_key, &*body), ("", "q", &b"1"[..]));
    assert_eq!(client.delivered(1).await, (2, "2".to_owned()));
    assert_eq!(client.delivered(1).await, (3, "3".to_owned()));
    assert_eq!(broker.depth("q"), Some((0, 3)));
    client.send(1, BasicAck { delivery_tag: 2, multiple: true }).await;
    client.sync(1).await;
    assert_eq!(broker.depth("q"), Some((0, 1)));
    client.send(1, BasicAck { delivery_tag: 0, multiple: true }).await;
    client.sync(1).await;
    assert_eq!(broker.depth("q"), Some((0, 0)));
}

#[tokio::test]
async fn who_does_not_acknowledge_need_not() {
    let broker = FakeBroker::new();
    let mut client = with_messages(&broker, 1000).await;
    qos(&mut client, 1, false).await;
    let consume = BasicConsume { queue: "q".into(), no_ack: true, ..Default::default() };
    let Method::BasicConsumeOk(consuming) = client.ask(1, consume).await else { panic!("not consuming") };
    assert!(consuming.consumer_tag.starts_with("amq.ctag-"));
    for number in 1..=1000 {
        assert_eq!(client.delivered(1).await, (number, number.to_string()));
    }
    broker.until(|broker| broker.depth("q") == Some((0, 0))).await;
}

#[tokio::test]
async fn a_consumer_gets_as_many_as_its_prefetch_says() {
    let broker = FakeBroker::new();
    let mut client = with_messages(&broker, 5).await;
    qos(&mut client, 2, false).await;
    client.consume(1, "q", "c").await;
    client.delivered(1).await;
    client.delivered(1).await;
    assert_eq!(broker.depth("q"), Some((3, 2)));
    client.send(1, BasicAck { delivery_tag: 2, multiple: false }).await;
    assert_eq!(client.delivered(1).await, (3, "3".to_owned()));
    client.sync(1).await;
    assert_eq!(broker.depth("q"), Some((2, 2)));
}

#[tokio::test]
async fn a_shared_prefetch_is_shared_by_all_consumers_of_the_channel() {
    let broker = FakeBroker::new();
    let mut client = with_messages(&broker, 0).await;
    qos(&mut client, 3, true).await;
    client.consume(1, "q", "a").await;
    client.consume(1, "q", "b").await;
    let mut publisher = Client::with_channel(&broker).await;
    for number in 1..=6 {
        publisher.publish(1, "q", number.to_string().as_bytes()).await;
    }
    for number in 1..=3 {
        assert_eq!(client.delivered(1).await, (number, number.to_string()));
    }
    client.sync(1).await;
    client.send(1, BasicAck { delivery_tag: 2, multiple: true }).await;
    assert_eq!(client.delivered(1).await, (4, "4".to_owned()));
    assert_eq!(client.delivered(1).await, (5, "5".to_owned()));
    client.sync(1).await;
    // More room lets the held one go.
    client.send(1, BasicQos { prefetch_size: 0, prefetch_count: 0, global: true }).await;
    assert!(matches!(client.method(1).await, Method::BasicQosOk(_)));
    assert_eq!(client.delivered(1).await, (6, "6".to_owned()));
}

#[tokio::test]
async fn what_a_cancelled_consumer_was_not_sent_goes_back() {
    let broker = FakeBroker::new();
    let mut client = with_messages(&broker, 6).await;
    qos(&mut client, 2, true).await;
    client.consume(1, "q", "c").await;
    client.delivered(1).await;
    client.delivered(1).await;
    let cancelled = client.ask(1, BasicCancel { consumer_tag: "c".into(), nowait: false }).await;
    assert_eq!(cancelled, BasicCancelOk { consumer_tag: "c".into() }.into());
    client.sync(1).await;
    assert_eq!(broker.depth("q"), Some((4, 2)));
    // What it was sent is still the client's.
    client.send(1, BasicAck { delivery_tag: 0, multiple: true }).await;
    client.sync(1).await;
    assert_eq!(broker.depth("q"), Some((4, 0)));
    // Cancelling what is not there is no error.
    client.ask(1, BasicCancel { consumer_tag: "c".into(), nowait: false }).await;
}

#[tokio::test]
async fn what_is_held_behind_another_consumer_goes_back_when_its_own_is_cancelled() {
    let broker = FakeBroker::new();
    let mut client = with_messages(&broker, 0).await;
    client.declare(1, "other").await;
    qos(&mut client, 1, true).await;
    client.consume(1, "q", "a").await;
    client.consume(1, "other", "b").await;
    for queue in ["q", "q", "other"] {
        client.publish(1, queue, b"m").await;
    }
    client.delivered(1).await;
    client.sync(1).await;
    assert_eq!((broker.depth("q"), broker.depth("other")), (Some((0, 2)), Some((0, 1))));
    client.ask(1, BasicCancel { consumer_tag: "b".into(), nowait: false }).await;
    assert_eq!((broker.depth("q"), broker.depth("other")), (Some((0, 2)), Some((1, 0))));
}

#[tokio::test]
async fn the_tag_of_a_cancelled_consumer_may_be_used_again_and_that_of_another_may_not() {
    let broker = FakeBroker::new();
    let mut client = with_messages(&broker, 0).await;
    client.consume(1, "q", "c").await;
    client.ask(1, BasicCancel { consumer_tag: "c".into(), nowait: false }).await;
    client.consume(1, "q", "c").await;
    client.send(1, BasicConsume { queue: "q".into(), consumer_tag: "c".into(), ..Default::default() }).await;
    let text = "NOT_ALLOWED - attempt to reuse consumer tag 'c'";
    assert_eq!(client.connection_closed().await, closed(530, text));
}

#[tokio::test]
async fn a_consumer_whose_queue_goes_is_cancelled() {
    let broker = FakeBroker::new();
    let mut client = with_messages(&broker, 0).await;
    client.consume(1, "q", "c").await;
    client.send(1, QueueDelete { queue: "q".into(), nowait: true, ..Default::default() }).await;
    assert_eq!(client.method(1).await, BasicCancel { consumer_tag: "c".into(), nowait: true }.into());
}

#[tokio::test]
async fn an_exclusive_consumer_suffers_no_other() {
    let broker = FakeBroker::new();
    let mut client = with_messages(&broker, 0).await;
    client.ask(1, BasicConsume { queue: "q".into(), exclusive: true, ..Default::default() }).await;
    client.send(1, BasicConsume { queue: "q".into(), ..Default::default() }).await;
    let text = "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use";
    assert_eq!(client.channel_closed(1).await, closed(403, text));
}

#[tokio::test]
async fn what_is_rejected_or_recovered_comes_again_marked_so() {
    let broker = FakeBroker::new();
    let mut client = with_messages(&broker, 3).await;
    client.consume(1, "q", "c").await;
    for _ in 0..3 {
        client.delivery(1).await;
    }
    client.send(1, BasicReject { delivery_tag: 1, requeue: true }).await;
    let (again, body) = client.delivery(1).await;
    assert_eq!((again.delivery_tag, again.redelivered, &*body), (4, true, &b"1"[..]));
    client.send(1, BasicNack { delivery_tag: 3, multiple: true, requeue: false }).await;
    client.sync(1).await;
    assert_eq!(broker.depth("q"), Some((0, 1)));
    assert!(matches!(client.ask(1, BasicRecover { requeue: true }).await, Method::BasicRecoverOk(_)));
    assert!(client.delivery(1).await.0.redelivered);
    client.send(1, BasicRecoverAsync { requeue: true }).await;
    let (again, body) = client.delivery(1).await;
    assert_eq!((again.delivery_tag, again.redelivered, &*body), (6, true, &b"1"[..]));
}

#[tokio::test]
async fn messages_are_got_one_at_a_time() {
    let broker = FakeBroker::new();
    let mut client = with_messages(&broker, 2).await;
    let get = BasicGet { queue: "q".into(), ..Default::default() };
    let Method::BasicGetOk(got) = client.ask(1, get.clone()).await else { panic!("nothing got") };
    assert_eq!((got.delivery_tag, got.redelivered, got.message_count), (1, false, 1));
    assert_eq!(client.content(1).await.body, b"1");
    client.ask(1, BasicGet { no_ack: true, ..get.clone() }).await;
    client.content(1).await;
    assert!(matches!(client.ask(1, get.clone()).await, Method::BasicGetEmpty(_)));
    assert_eq!(broker.depth("q"), Some((0, 1)));
    // A connection that ends gives back what was got.
    client.send(0, ferrymq_amqp::codec::ConnectionClose::default()).await;
    assert!(matches!(client.method(0).await, Method::ConnectionCloseOk(_)));
    assert_eq!(broker.depth("q"), Some((1, 0)));
}

#[tokio::test]
async fn a_closed_channel_gives_back_what_it_holds() {
    let broker = FakeBroker::new();
    let mut client = with_messages(&broker, 4).await;
    qos(&mut client, 2, true).await;
    client.consume(1, "q", "c").await;
    client.delivery(1).await;
    client.delivery(1).await;
    assert!(matches!(client.ask(1, ChannelClose::default()).await, Method::ChannelCloseOk(_)));
    assert_eq!(broker.depth("q"), Some((4, 0)));
}

#[tokio::test]
async fn an_unknown_delivery_tag_closes_the_channel() {
    let broker = FakeBroker::new();
    let mut client = with_messages(&broker, 1).await;
    client.consume(1, "q", "c").await;
    client.delivery(1).await;
    client.send(1, BasicAck { delivery_tag: 7, multiple: false }).await;
    assert_eq!(client.channel_closed(1).await, closed(406, "PRECONDITION_FAILED - unknown delivery tag 7"));
    broker.until(|broker| broker.depth("q") == Some((1, 0))).await;
}
