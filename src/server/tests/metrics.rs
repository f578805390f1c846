//! A whole broker, a client of somebody else, and what the broker says of both in figures.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where something is not as it should be")]

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use ferrymq_admin_api::{Client, Configuration, Formation, Listener, Member, NewUser, Protocol};
use ferrymq_server::{Running, start};
use futures::StreamExt;
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::FieldTable,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster of one broker, which serves.
async fn broker(directory: &Path) -> Running {
    let token_file = directory.join("token");
    std::fs::write(&token_file, "secret").unwrap();
    let anywhere = || "127.0.0.1:0".to_owned();
    let configuration = Configuration {
        cluster: "orders".to_owned(),
        data_directory: directory.join("data"),
        peer_address: "127.0.0.1:1{ordinal}".to_owned(),
        link_listen: anywhere(),
        admin_listen: anywhere(),
        metrics_listen: Some(anywhere()),
        token_file,
        listeners: vec![Listener { name: "amqp".to_owned(), protocol: Protocol::Amqp, address: anywhere(), tls: None }],
        internal_tls: None,
        memory_high_water_bytes: None,
        archive: None,
        restore_from: None,
    };
    let running = start(configuration, 0, None).await.unwrap();
    let admin = Client::new(&format!("http://{}", running.admin_address()), "secret").unwrap();
    let formation = Formation {
        cluster_id: "c".to_owned(),
        members: vec![Member { ordinal: 0, uuid: admin.node().await.unwrap().uuid, zone: None }],
        default_mirrors: 1,
        users: vec![NewUser { name: "guest".to_owned(), password: "guest".to_owned(), loopback_only: true }],
        restore: None,
    };
    admin.form(&formation).await.unwrap();
    while !admin.ready().await.unwrap() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running
}

async fn page(address: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body.to_owned()
}

/// Every sample of a page; each line must be one.
async fn samples(address: SocketAddr, path: &str) -> BTreeMap<String, f64> {
    let page = page(address, path).await;
    assert!(page.ends_with("# EOF\n"), "{page}");
    let lines = page.lines().filter(|line| !line.starts_with("# "));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_did_is_what_the_metrics_say() {
    timeout(PATIENCE, async {
        let directory = tempfile::tempdir().unwrap();
        let running = broker(directory.path()).await;
        let metrics = running.metrics_address().unwrap();
        let amqp = running.client_addresses()[0].1;

        let uri = format!("amqp://guest:guest@{amqp}/%2f");
        let connection = Connection::connect(&uri, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare("orders".into(), options, FieldTable::default()).await.unwrap();
        for (key, mandatory) in [("orders", false), ("orders", false), ("orders", false), ("nowhere", true)] {
            let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
            let properties = BasicProperties::default();
            let publish = channel.basic_publish("".into(), key.into(), options, b"hello", properties);
            publish.await.unwrap().await.unwrap();
        }
        let options = BasicConsumeOptions::default();
        let consume = channel.basic_consume("orders".into(), "c".into(), options, FieldTable::default());
        let mut consumer = consume.await.unwrap();
        let mut got = Vec::new();
        for _ in 0..3 {
            got.push(consumer.next().await.unwrap().unwrap());
        }
        for delivery in &got[..2] {
            delivery.acker.ack(BasicAckOptions::default()).await.unwrap();
        }

        let expected = [
            ("ferrymq_serving", 1.0),
            ("ferrymq_catalogue_leader", 1.0),
            ("ferrymq_connections{listener=\"amqp\"}", 1.0),
            ("ferrymq_connections_opened_total{listener=\"amqp\"}", 1.0),
            ("ferrymq_sessions", 1.0),
            ("ferrymq_channels", 1.0),
            ("ferrymq_consumers", 1.0),
            ("ferrymq_messages_published_total", 4.0),
            ("ferrymq_messages_unroutable_total", 1.0),
            ("ferrymq_messages_returned_total", 1.0),
            ("ferrymq_messages_confirmed_total", 3.0),
            ("ferrymq_messages_delivered_total", 3.0),
            ("ferrymq_messages_redelivered_total", 0.0),
            ("ferrymq_messages_acknowledged_total", 2.0),
            ("ferrymq_messages_unacknowledged", 1.0),
            ("ferrymq_messages_ready", 0.0),
            ("ferrymq_queues", 1.0),
            ("ferrymq_shards_unavailable", 0.0),
            ("ferrymq_shards_mirrors_out_of_sync", 0.0),
            ("ferrymq_publishers_blocked", 0.0),
        ];
        // Acknowledgements are not answered: they are counted when they have come.
        let found = loop {
            let found = samples(metrics, "/metrics").await;
            if found["ferrymq_messages_acknowledged_total"] == 2.0 && found["ferrymq_messages_unacknowledged"] == 1.0 {
                break found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let of_found: Vec<_> = expected.iter().map(|(name, _)| (*name, found[*name])).collect();
        assert_eq!(of_found, expected);
        assert!(found["ferrymq_journal_sync_seconds_count"] > 0.0);
        assert!(found["ferrymq_disk_used_bytes"] <= found["ferrymq_disk_capacity_bytes"]);

        let of_queues = samples(metrics, "/metrics/per-object?prefix=ord").await;
        let labels = "{virtual_host=\"/\",queue=\"orders\"}";
        assert_eq!(of_queues[&format!("ferrymq_queue_messages_unacknowledged{labels}")], 1.0);
        assert_eq!(of_queues[&format!("ferrymq_queue_consumers{labels}")], 1.0);
        assert!(!page(metrics, "/metrics/per-object?prefix=x").await.contains("queue=\"orders\""));
        drop(got);
        connection.close(200, "bye".into()).await.unwrap();
        running.stop().await;
    })
    .await
    .unwrap();
}
