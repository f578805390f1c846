//! Messages on their way in.

use std::sync::Arc;

use bytes::BytesMut;
use ferrymq_amqp::{
    Counts, Settings,
    codec::{self, BasicGet, BasicPublish, ChannelClose, Method, QueueDeclare},
};
use ferrymq_testkit::FakeBroker;

use crate::client::{Client, closed};

async fn got(client: &mut Client, queue: &str) -> Vec<u8> {
    let get = BasicGet { queue: queue.to_owned().into(), no_ack: true, ..Default::default() };
    let Method::BasicGetOk(_) = client.ask(1, get).await else { panic!("nothing got") };
    client.content(1).await.body
}

#[tokio::test]
async fn bodies_of_any_size_come_out_as_they_went_in() {
    let mut client = Client::with_channel(&FakeBroker::new()).await;
    client.declare(1, "q").await;
    for size in [0, 1, 5000, 131_064, 131_065, 1_000_000] {
        let body: Vec<u8> = (0..size).map(|index: u32| index.to_be_bytes()[3]).collect();
        client.publish(1, "q", &body).await;
        assert_eq!(got(&mut client, "q").await, body);
    }
}

#[tokio::test]
async fn a_message_may_come_byte_by_byte_and_in_many_frames() {
    let mut client = Client::with_channel(&FakeBroker::new()).await;
    client.declare(1, "q").await;
    let mut out = BytesMut::new();
    codec::put_method(&mut out, 1, &BasicPublish { routing_key: "q".into(), ..Default::default() }.into());
    codec::put_content_header(&mut out, 1, 5, &[]);
    for piece in [&b"h"[..], b"el", b"", b"lo"] {
        codec::put_body(&mut out, 1, piece);
    }
    for byte in out {
        client.bytes(&[byte]).await;
    }
    assert_eq!(got(&mut client, "q").await, b"hello");
}

#[tokio::test]
async fn properties_are_passed_on_as_they_came() {
    let mut client = Client::with_channel(&FakeBroker::new()).await;
    client.declare(1, "q").await;
    // Content type, headers {a: [1, {'': void}]}, delivery mode 2, user id.
    let mut properties = Vec::new();
    properties.extend(b"\xb0\x10\x04text");
    properties.extend(b"\x00\x00\x00\x10\x01aA\x00\x00\x00\x09b\x01F\x00\x00\x00\x02\x00V");
    properties.extend(b"\x02\x05guest");
    let publish = BasicPublish { routing_key: "q".into(), ..Default::default() };
    client.publish_as(1, publish, &properties, b"body").await;
    let get = BasicGet { queue: "q".into(), no_ack: true, ..Default::default() };
    assert!(matches!(client.ask(1, get).await, Method::BasicGetOk(_)));
    assert_eq!(client.content(1).await.properties, properties);
}

#[tokio::test]
async fn an_unroutable_message_comes_back_before_its_confirm_where_it_is_mandatory() {
    let mut client = Client::with_channel(&FakeBroker::new()).await;
    client.confirm(1).await;
    let publish = BasicPublish { routing_key: "nowhere".into(), mandatory: true, ..Default::default() };
    client.publish_as(1, publish, &[], b"back").await;
    let Method::BasicReturn(returned) = client.method(1).await else { panic!("not returned") };
    assert_eq!((returned.reply_code, &*returned.reply_text, &*returned.routing_key), (312, "NO_ROUTE", "nowhere"));
    assert_eq!(client.content(1).await.body, b"back");
    assert!(matches!(client.method(1).await, Method::BasicAck(ack) if ack.delivery_tag == 1));
    // Where it is not, it is only confirmed.
    client.publish(1, "nowhere", b"lost").await;
    assert!(matches!(client.method(1).await, Method::BasicAck(ack) if ack.delivery_tag == 2));
}

#[tokio::test]
async fn channels_are_counted_while_they_are_open_and_so_is_what_comes_back() {
    let counts: Arc<Counts> = Arc::default();
    let settings = Settings { counts: counts.clone(), ..Settings::default() };
    let mut client = Client::connected_with(&FakeBroker::new(), settings, 1 << 20).await;
    client.open(1).await;
    client.open(2).await;
    assert_eq!((counts.channels(), counts.returned()), (2, 0));
    let publish = BasicPublish { routing_key: "nowhere".into(), mandatory: true, ..Default::default() };
    client.publish_as(1, publish, &[], b"back").await;
    assert!(matches!(client.method(1).await, Method::BasicReturn(_)));
    client.content(1).await;
    assert!(matches!(client.ask(2, ChannelClose::default()).await, Method::ChannelCloseOk(_)));
    assert_eq!((counts.channels(), counts.returned()), (1, 1));
    drop(client.socket);
    client.server.await.unwrap();
    assert_eq!(counts.channels(), 0);
}

#[tokio::test]
async fn what_is_wrong_about_a_publish_is_said() {
    let user_of_another = b"\x00\x10\x05admin";
    let refused: [(&str, &[u8], usize, u16, &str); 3] = [
        ("none", &[], 1, 404, "NOT_FOUND - no exchange 'none' in vhost '/'"),
        (
            "",
            user_of_another,
            1,
            406,
            "PRECONDITION_FAILED - user_id property set to 'admin' but authenticated user was 'guest'",
        ),
        ("", &[], 101, 406, "PRECONDITION_FAILED - message size 101 is larger than configured max size 100"),
    ];
    for (exchange, properties, size, code, text) in refused {
        let settings = Settings { max_message_bytes: 100, ..Settings::default() };
        let mut client = Client::connected_with(&FakeBroker::new(), settings, 1 << 16).await;
        client.open(1).await;
        let publish = BasicPublish { exchange: exchange.into(), ..Default::default() };
        client.publish_as(1, publish, properties, &vec![0; size]).await;
        assert_eq!(client.channel_closed(1).await, closed(code, text));
        // What came of the message after it is passed over.
        client.send(1, codec::ChannelCloseOk {}).await;
        client.open(1).await;
    }
}

#[tokio::test]
async fn what_a_publish_asks_for_and_is_not_there_is_refused() {
    let expiring = b"\x01\x00\x0260";
    let copied = b"\x20\x00\x00\x00\x00\x08\x02CCA\x00\x00\x00\x00";
    for (immediate, properties) in [(true, &b""[..]), (false, expiring), (false, copied)] {
        let mut client = Client::with_channel(&FakeBroker::new()).await;
        let publish = BasicPublish { immediate, ..Default::default() };
        client.publish_as(1, publish, properties, b"").await;
        assert_eq!(client.connection_closed().await.0, 540);
    }
}

#[tokio::test]
async fn messages_of_several_channels_may_be_mixed() {
    let mut client = Client::with_channel(&FakeBroker::new()).await;
    client.open(2).await;
    client.declare(1, "one").await;
    client.declare(2, "two").await;
    let mut out = BytesMut::new();
    for (channel, queue) in [(1, "one"), (2, "two")] {
        codec::put_method(&mut out, channel, &BasicPublish { routing_key: queue.into(), ..Default::default() }.into());
        codec::put_content_header(&mut out, channel, 4, &[]);
    }
    for (channel, piece) in [(2, b"tw"), (1, b"on"), (2, b"o."), (1, b"e.")] {
        codec::put_body(&mut out, channel, piece);
    }
    client.bytes(&out).await;
    assert_eq!(got(&mut client, "one").await, b"one.");
    assert_eq!(got(&mut client, "two").await, b"two.");
}

#[tokio::test]
async fn frames_out_of_turn_close_the_connection() {
    let method = Method::from(BasicPublish::default());
    let mut out_of_turn: Vec<(BytesMut, &str)> = Vec::new();
    let mut out = BytesMut::new();
    codec::put_method(&mut out, 1, &method);
    codec::put_method(&mut out, 1, &QueueDeclare::default().into());
    out_of_turn.push((out, "expected content header for class 60, got non content header frame instead"));
    let mut out = BytesMut::new();
    codec::put_method(&mut out, 1, &method);
    codec::put_body(&mut out, 1, b"?");
    out_of_turn.push((out, "expected content header for class 60, got non content header frame instead"));
    let mut out = BytesMut::new();
    codec::put_method(&mut out, 1, &method);
    codec::put_content_header(&mut out, 1, 9, &[]);
    codec::put_content_header(&mut out, 1, 9, &[]);
    out_of_turn.push((out, "expected content body, got non content body frame instead"));
    let mut out = BytesMut::new();
    codec::put_content_header(&mut out, 1, 9, &[]);
    out_of_turn.push((out, "expected method frame, got non method frame instead"));
    for (bytes, sentence) in out_of_turn {
        let mut client = Client::with_channel(&FakeBroker::new()).await;
        client.bytes(&bytes).await;
        assert_eq!(client.connection_closed().await, closed(505, &format!("UNEXPECTED_FRAME - {sentence}")));
    }
}
