//! Clients that send what they should not.

use bytes::{BufMut, BytesMut};
use ferrymq_amqp::{
    Settings,
    codec::{self, ConnectionStartOk, PROTOCOL_HEADER, QueueDeclare, Table, Value},
};
use ferrymq_testkit::FakeBroker;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Client, closed, start_ok};

fn nested(depth: usize) -> Table {
    let mut table = Table::default();
    for _ in 0..depth {
        table = Table::default().with("t", table);
    }
    table
}

/// A method that there is, with fields that are random and short, or a piece of a message.
fn random_frame(rng: &mut TestRng) -> BytesMut {
    let mut out = BytesMut::new();
    let channel = rng.random_range(0..3);
    match rng.random_range(0..8) {
        0 => codec::put_content_header(&mut out, channel, rng.random_range(0..4), &[]),
        1 => codec::put_body(&mut out, channel, &[1, 2, 3][..rng.random_range(0..4)]),
        _ => {
            let (class, method) = loop {
                let class = [10, 20, 40, 50, 60, 85, 90][rng.random_range(0..7)];
                let method = rng.random_range(1..13) * 10 + rng.random_range(0..2);
                if codec::method_name(class, method).is_some() {
                    break (class, method);
                }
            };
            let size: u8 = rng.random_range(4..24);
            out.put_slice(&[1, 0, u8::try_from(channel).unwrap(), 0, 0, 0, size]);
            out.put_u16(class);
            out.put_u16(method);
            out.extend((4..size).map(|_| if rng.random_bool(0.7) { 0 } else { rng.random_range(0..4) }));
            out.put_u8(codec::FRAME_END);
        }
    }
    out
}

#[tokio::test(start_paused = true)]
async fn random_methods_end_no_connection_otherwise_than_in_order() {
    let broker = FakeBroker::new();
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    for _ in 0..2000 {
        let mut client = Client::with_channel(&broker).await;
        client.open(2).await;
        let frames: Vec<_> = (0..rng.random_range(1..20)).map(|_| random_frame(&mut rng)).collect();
        client.bytes(&frames.concat()).await;
        client.socket.shutdown().await.unwrap();
        let mut said = Vec::new();
        client.socket.read_to_end(&mut said).await.unwrap();
        client.server.await.unwrap();
        assert_eq!(broker.sessions(), 0);
    }
}

#[tokio::test]
async fn frames_before_the_login_are_small() {
    let mut client = Client::unspoken(&FakeBroker::new(), Settings::default(), 1 << 16);
    client.bytes(&PROTOCOL_HEADER).await;
    client.method(0).await;
    let response = vec![b'x'; 5000].into();
    client.send(0, ConnectionStartOk { response, ..start_ok("", "") }).await;
    assert_eq!(client.connection_closed().await.0, 501);
}

#[tokio::test]
async fn frames_above_the_limit_and_frames_that_are_none_end_the_connection() {
    for bytes in [&b"\x01\x00\x01\x7f\xff\xff\xff"[..], b"\x05\x00\x00\x00\x00\x00\x00\xce", b"\x08\0\0\0\0\0\0\x00"] {
        let mut client = Client::with_channel(&FakeBroker::new()).await;
        client.bytes(bytes).await;
        assert_eq!(client.connection_closed().await.0, 501);
    }
}

#[tokio::test]
async fn tables_deeper_than_the_limit_are_a_syntax_error() {
    let mut client = Client::with_channel(&FakeBroker::new()).await;
    client.send(1, QueueDeclare { queue: "q".into(), arguments: nested(31), nowait: true, ..Default::default() }).await;
    client.sync(1).await;
    client.send(1, QueueDeclare { queue: "q".into(), arguments: nested(32), ..Default::default() }).await;
    let text = "SYNTAX_ERROR - tables are nested deeper than 32";
    assert_eq!(client.connection_closed().await, closed(502, text));
}

#[tokio::test]
async fn the_headers_of_a_message_are_looked_at_as_well() {
    let mut headers = BytesMut::new();
    let declare = QueueDeclare { arguments: nested(40), ..Default::default() };
    codec::put_method(&mut headers, 1, &declare.into());
    // The table of that method, from behind class, method, ticket, empty name and bits.
    let table = &headers[7 + 4 + 2 + 1 + 1..headers.len() - 1];
    let mut properties = BytesMut::new();
    properties.put_u16(1 << 13);
    properties.put_slice(table);
    for properties in [&properties[..], b"\x20\x00\x00\x00\xff\xff", b"\x00\x01", b"\x80\x00\x05abc"] {
        let mut client = Client::with_channel(&FakeBroker::new()).await;
        client.publish_as(1, Default::default(), properties, b"").await;
        assert_eq!(client.connection_closed().await.0, 502);
    }
}

#[tokio::test]
async fn a_method_that_there_is_not_or_that_brokers_send_is_refused() {
    for (payload, code) in [(&b"\x00\x4d\x00\x05"[..], 540), (b"\x00\x32\x00\x0b\x01q\0\0\0\0\0\0\0\0", 503)] {
        let mut client = Client::with_channel(&FakeBroker::new()).await;
        let mut out = BytesMut::new();
        out.put_slice(&[1, 0, 1, 0, 0, 0, u8::try_from(payload.len()).unwrap()]);
        out.put_slice(payload);
        out.put_u8(codec::FRAME_END);
        client.bytes(&out).await;
        assert_eq!(client.connection_closed().await.0, code);
    }
}

#[tokio::test]
async fn names_that_are_no_text_are_a_syntax_error() {
    let mut client = Client::with_channel(&FakeBroker::new()).await;
    let mut out = BytesMut::new();
    codec::put_method(&mut out, 1, &QueueDeclare { queue: "qq".into(), ..Default::default() }.into());
    out[7 + 4 + 2 + 1] = 0xff;
    client.bytes(&out).await;
    assert_eq!(client.connection_closed().await.0, 502);
}

#[tokio::test]
async fn a_value_may_be_of_each_type() {
    let values = [
        Value::Boolean(true),
        Value::I8(-1),
        Value::U8(1),
        Value::I16(-1),
        Value::U16(1),
        Value::I32(-1),
        Value::U32(1),
        Value::I64(-1),
        Value::U64(1),
        Value::F32(0.5),
        Value::F64(0.5),
        Value::Decimal { scale: 1, value: 5 },
        Value::from("text"),
        Value::ByteArray("bytes".into()),
        Value::Timestamp(1),
        Value::Array(vec![Value::Void]),
        Value::Table(nested(2)),
        Value::Void,
    ];
    let arguments = Table(values.into_iter().map(|value| ("app-own".into(), value)).collect());
    let mut client = Client::with_channel(&FakeBroker::new()).await;
    client.send(1, QueueDeclare { queue: "q".into(), arguments, nowait: true, ..Default::default() }).await;
    client.sync(1).await;
}
