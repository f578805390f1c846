//! From the first byte to the open virtual host, and the end.

use std::time::Duration;

use ferrymq_amqp::{
    Settings,
    codec::{
        BasicAck, ConnectionClose, ConnectionOpen, ConnectionStartOk, ConnectionTuneOk, ConnectionUpdateSecret, Frame,
        FrameKind, Method, PROTOCOL_HEADER, Value,
    },
};
use ferrymq_core::Confirmation;
use ferrymq_testkit::FakeBroker;
use tokio::{io::AsyncReadExt, time::Instant};

use crate::client::{Client, closed, start_ok};

#[tokio::test]
async fn another_hello_is_answered_with_ours_and_the_socket_is_closed() {
    for hello in [&b"AMQP\0\x01\0\0"[..], b"GET / HTTP/1.1", b"\x16\x03\x01", b"AMQP\x01\x01\x00\x09"] {
        let mut client = Client::unspoken(&FakeBroker::new(), Settings::default(), 1024);
        client.bytes(hello).await;
        let mut answer = Vec::new();
        client.socket.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, PROTOCOL_HEADER);
    }
}

#[tokio::test]
async fn the_broker_says_what_it_can_do() {
    let mut client = Client::unspoken(&FakeBroker::new(), Settings::default(), 4096);
    client.bytes(&PROTOCOL_HEADER).await;
    let Method::ConnectionStart(start) = client.method(0).await else { panic!("no start") };
    assert_eq!((start.version_major, start.version_minor), (0, 9));
    assert_eq!(start.mechanisms, "PLAIN AMQPLAIN");
    let Some(Value::Table(capabilities)) = start.server_properties.get("capabilities") else { panic!("none") };
    assert_eq!(capabilities.get("publisher_confirms"), Some(&Value::Boolean(true)));
    assert_eq!(capabilities.get("exchange_exchange_bindings"), Some(&Value::Boolean(false)));
}

#[tokio::test]
async fn a_client_is_let_in_by_either_mechanism() {
    let broker = FakeBroker::new();
    drop(Client::connected(&broker).await);
    let mut client = Client::unspoken(&broker, Settings::default(), 4096);
    client.bytes(&PROTOCOL_HEADER).await;
    client.method(0).await;
    let response = (&b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest"[..]).into();
    client.send(0, ConnectionStartOk { mechanism: "AMQPLAIN".into(), response, ..start_ok("", "") }).await;
    client.tune(10, 4096, 30).await;
    assert!(matches!(client.method(0).await, Method::ConnectionOpenOk(_)));
}

#[tokio::test]
async fn a_wrong_password_is_told_to_who_understands_it() {
    let mut client = Client::unspoken(&FakeBroker::new(), Settings::default(), 4096);
    client.log_in("guest", "wrong").await;
    let text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker \
                logfile.";
    assert_eq!(client.connection_closed().await, closed(403, text));
}

#[tokio::test]
async fn a_wrong_password_closes_the_socket_of_who_does_not() {
    let mut client = Client::unspoken(&FakeBroker::new(), Settings::default(), 4096);
    client.bytes(&PROTOCOL_HEADER).await;
    client.method(0).await;
    client.send(0, ConnectionStartOk { client_properties: Default::default(), ..start_ok("guest", "wrong") }).await;
    client.socket_closed().await;
}

#[tokio::test]
async fn a_virtual_host_that_is_not_there_is_not_opened() {
    let mut client = Client::unspoken(&FakeBroker::new(), Settings::default(), 4096);
    client.log_in("guest", "guest").await;
    client.method(0).await;
    client.send(0, ConnectionTuneOk::default()).await;
    client.send(0, ConnectionOpen { virtual_host: "nowhere".into(), ..Default::default() }).await;
    assert_eq!(client.connection_closed().await, closed(530, "NOT_ALLOWED - vhost nowhere not found"));
}

#[tokio::test]
async fn a_client_may_lower_the_limits_and_not_raise_them() {
    for (channel_max, frame_max, text) in [
        (4000, 0, "NOT_ALLOWED - negotiated channel_max = 4000 is higher than the maximum allowed value (2047)"),
        (0, 200_000, "NOT_ALLOWED - negotiated frame_max = 200000 is higher than the maximum allowed value (131072)"),
        (0, 100, "NOT_ALLOWED - negotiated frame_max = 100 is lower than the minimum allowed value (4096)"),
    ] {
        let mut client = Client::unspoken(&FakeBroker::new(), Settings::default(), 4096);
        client.log_in("guest", "guest").await;
        client.tune(channel_max, frame_max, 0).await;
        assert_eq!(client.connection_closed().await, closed(530, text));
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_when_its_handshake_takes_too_long() {
    let start = Instant::now();
    for hello in [&b""[..], b"AMQP", &PROTOCOL_HEADER] {
        let mut client = Client::unspoken(&FakeBroker::new(), Settings::default(), 4096);
        client.bytes(hello).await;
        let mut said = Vec::new();
        client.socket.read_to_end(&mut said).await.unwrap();
    }
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_sent_at_half_the_interval_while_nothing_else_is() {
    let mut client = Client::unspoken(&FakeBroker::new(), Settings::default(), 4096);
    client.log_in("guest", "guest").await;
    client.tune(0, 0, 20).await;
    client.method(0).await;
    for _ in 0..3 {
        let start = Instant::now();
        let Some(Frame { kind: FrameKind::Heartbeat, channel: 0, .. }) = client.any_frame().await else {
            panic!("no heartbeat")
        };
        assert_eq!(start.elapsed(), Duration::from_secs(10));
    }
}

#[tokio::test(start_paused = true)]
async fn who_misses_two_heartbeats_is_cut_off() {
    let mut client = Client::unspoken(&FakeBroker::new(), Settings::default(), 4096);
    client.log_in("guest", "guest").await;
    client.tune(0, 0, 20).await;
    client.method(0).await;
    let start = Instant::now();
    while let Some(frame) = client.any_frame().await {
        assert_eq!(frame.kind, FrameKind::Heartbeat);
    }
    assert_eq!(start.elapsed(), Duration::from_secs(40));
}

#[tokio::test]
async fn a_client_that_closes_is_answered_and_its_session_is_gone() {
    let broker = FakeBroker::new();
    let mut client = Client::with_channel(&broker).await;
    assert_eq!(broker.sessions(), 1);
    assert!(matches!(client.ask(0, ConnectionClose::default()).await, Method::ConnectionCloseOk(_)));
    assert_eq!(broker.sessions(), 0);
    client.socket_closed().await;
}

#[tokio::test]
async fn a_client_that_vanishes_leaves_no_session() {
    let broker = FakeBroker::new();
    let client = Client::with_channel(&broker).await;
    let server = client.server;
    drop(client.socket);
    server.await.unwrap();
    assert_eq!(broker.sessions(), 0);
}

#[tokio::test]
async fn a_broker_that_stops_tells_its_clients() {
    let broker = FakeBroker::new();
    let client = Client::with_channel(&broker).await;
    client.shutdown.send_replace(true);
    let text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
    assert_eq!(client.connection_closed().await, closed(320, text));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_stops_lets_what_is_under_way_come_to_its_end() {
    let broker = FakeBroker::new();
    let mut client = Client::with_channel(&broker).await;
    client.declare(1, "q").await;
    client.declare(1, "kept").await;
    client.publish(1, "q", b"a").await;
    client.consume(1, "q", "c").await;
    let tag = client.delivered(1).await.0;
    client.open(2).await;
    client.confirm(2).await;
    broker.hold_confirms();
    client.publish(2, "kept", b"b").await;
    client.shutdown.send_replace(true);
    client.send(1, BasicAck { delivery_tag: tag, multiple: false }).await;
    // Only now that nothing is left to settle.
    assert!(matches!(client.method(0).await, Method::ConnectionBlocked(_)));
    broker.until(|broker| broker.confirms_held() == 1).await;
    broker.release_confirms(|_| Some(Confirmation::Stored));
    assert_eq!(client.method(2).await, BasicAck { delivery_tag: 1, multiple: false }.into());
    assert_eq!(client.connection_closed().await.0, 320);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_stops_waits_a_second_for_who_settles_nothing() {
    let broker = FakeBroker::new();
    let mut client = Client::with_channel(&broker).await;
    client.declare(1, "q").await;
    client.consume(1, "q", "c").await;
    client.publish(1, "q", b"a").await;
    client.delivered(1).await;
    let began = tokio::time::Instant::now();
    client.shutdown.send_replace(true);
    assert_eq!(client.connection_closed().await.0, 320);
    assert_eq!(began.elapsed().as_millis() / 100, 10);
}

#[tokio::test]
async fn a_user_who_lost_the_right_to_be_here_is_told() {
    let broker = FakeBroker::new();
    let client = Client::with_channel(&broker).await;
    broker.close_all("user deleted");
    let text = "CONNECTION_FORCED - broker forced connection closure with reason 'user deleted'";
    assert_eq!(client.connection_closed().await, closed(320, text));
}

#[tokio::test]
async fn an_alarm_is_told_to_those_who_publish() {
    let broker = FakeBroker::new();
    let mut consumer = Client::with_channel(&broker).await;
    consumer.declare(1, "q").await;
    for is_waiting in [false, true] {
        let mut publisher = Client::with_channel(&broker).await;
        if is_waiting {
            broker.hold_publishes();
            publisher.publish(1, "q", b"a").await;
            broker.publishes_are_waiting(1).await;
        }
        broker.block("low on disk");
        if !is_waiting {
            publisher.sync(1).await;
            publisher.publish(1, "q", b"a").await;
        }
        let Method::ConnectionBlocked(blocked) = publisher.method(0).await else { panic!("not blocked") };
        assert_eq!(blocked.reason, "low on disk");
        // One that is told sends nothing, not even what settles its messages.
        consumer.sync(1).await;
        broker.unblock();
        assert!(matches!(publisher.method(0).await, Method::ConnectionUnblocked(_)));
        publisher.sync(1).await;
    }
}

#[tokio::test]
async fn a_secret_is_not_renewed() {
    let mut client = Client::with_channel(&FakeBroker::new()).await;
    client.send(0, ConnectionUpdateSecret::default()).await;
    assert_eq!(client.connection_closed().await.0, 540);
}
