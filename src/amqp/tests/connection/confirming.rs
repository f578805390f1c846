//! Publisher confirms.

use ferrymq_amqp::codec::{BasicAck, BasicNack, ChannelClose, ChannelOpen, Method};
use ferrymq_core::{Confirmation, QueueName};
use ferrymq_testkit::FakeBroker;

use crate::client::Client;

fn ack(delivery_tag: u64, multiple: bool) -> Method {
    BasicAck { delivery_tag, multiple }.into()
}

fn stored(wanted: impl Fn(usize) -> bool) -> impl Fn(usize) -> Option<Confirmation> {
    move |place| wanted(place).then_some(Confirmation::Stored)
}

#[tokio::test]
async fn confirms_that_come_together_are_told_in_one_word() {
    let broker = FakeBroker::new();
    let mut client = Client::with_channel(&broker).await;
    client.declare(1, "q").await;
    client.confirm(1).await;
    broker.hold_confirms();
    for _ in 0..100 {
        client.publish(1, "q", b"m").await;
    }
    client.sync(1).await;
    // The last ten come first.
    broker.release_confirms(stored(|place| place >= 90));
    for tag in 91..=100 {
        assert_eq!(client.method(1).await, ack(tag, false));
    }
    broker.release_confirms(stored(|_| true));
    assert_eq!(client.method(1).await, ack(90, true));
}

#[tokio::test]
async fn what_is_rejected_is_told_so_and_parts_the_others() {
    let broker = FakeBroker::new();
    let mut client = Client::with_channel(&broker).await;
    client.declare(1, "q").await;
    client.confirm(1).await;
    broker.hold_confirms();
    for _ in 0..5 {
        client.publish(1, "q", b"m").await;
    }
    client.sync(1).await;
    broker.release_confirms(|place| Some(if place == 2 { Confirmation::Rejected } else { Confirmation::Stored }));
    assert_eq!(client.method(1).await, ack(2, true));
    assert_eq!(client.method(1).await, BasicNack { delivery_tag: 3, multiple: false, requeue: false }.into());
    assert_eq!(client.method(1).await, ack(5, true));

    broker.release_confirms(stored(|_| true));
    broker.reject_at(&QueueName::new("q").unwrap());
    client.publish(1, "q", b"m").await;
    client.sync(1).await;
    broker.release_confirms(|_| Some(Confirmation::Rejected));
    assert_eq!(client.method(1).await, BasicNack { delivery_tag: 6, multiple: false, requeue: false }.into());
}

#[tokio::test]
async fn a_confirm_of_a_closed_channel_is_not_taken_for_one_of_its_successor() {
    let broker = FakeBroker::new();
    let mut client = Client::with_channel(&broker).await;
    client.declare(1, "q").await;
    client.confirm(1).await;
    broker.hold_confirms();
    client.publish(1, "q", b"first").await;
    client.publish(1, "q", b"second").await;
    assert!(matches!(client.ask(1, ChannelClose::default()).await, Method::ChannelCloseOk(_)));
    assert!(matches!(client.ask(1, ChannelOpen::default()).await, Method::ChannelOpenOk(_)));
    client.confirm(1).await;
    for _ in 0..3 {
        client.publish(1, "q", b"of the successor").await;
    }
    client.sync(1).await;
    // Those of the closed channel, and the successor's third.
    broker.release_confirms(stored(|place| place != 2 && place != 3));
    assert_eq!(client.method(1).await, ack(3, false));
    broker.release_confirms(stored(|_| true));
    assert_eq!(client.method(1).await, ack(2, true));
}
