//! Whole nodes in one process, on real disks and real links, through the port that front ends use.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where something is not as it should be")]

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ferrymq_broker::{
    ArchiveOpener, Archiving, FirstNode, FirstUser, FormError, Formation, Node, Session, Settings, Tcp, Timing,
};
use ferrymq_core::{
    Broker, Confirmation, Credentials, Delivery, Event, EventReceiver, ExchangeName, LogPosition, Login, LoginRefused,
    Message, Properties, Published, QueueDeclaration, QueueName, Refusal, RoutingKey, Session as _, Settlement,
    Subscription, Tag, VirtualHostName, events,
};
use ferrymq_journal::{Options, SystemDisk};
use tempfile::TempDir;
use tokio::net::TcpListener;

mod backups;
mod damage;
mod draining;
mod logs;
mod nodes;
mod statistics;
mod topics;
mod users;

/// Bytes of a segment, where a test needs no others.
const SEGMENT_BYTES: u64 = 4 << 20;

/// Where a cluster archives, and what it is made of.
#[derive(Default, Clone)]
struct Archives {
    to: Option<Archiving>,
    from: Option<ArchiveOpener>,
}

struct Cluster {
    directory: TempDir,
    segment_bytes: u64,
    ports: Vec<u16>,
    nodes: Vec<Option<Node>>,
    archives: Archives,
    /// What the nodes take their process to use.
    memory: Arc<AtomicU64>,
}

impl Cluster {
    async fn of(brokers: usize) -> Self {
        Self::with_segments(brokers, SEGMENT_BYTES).await
    }

    async fn with_segments(brokers: usize, segment_bytes: u64) -> Self {
        let cluster = Self::unformed(brokers, segment_bytes, Archives::default()).await;
        cluster.node(0).form(cluster.formation()).await.unwrap();
        cluster.all_serve().await;
        cluster
    }

    async fn unformed(brokers: usize, segment_bytes: u64, archives: Archives) -> Self {
        let directory = TempDir::new().unwrap();
        let mut listeners = Vec::new();
        // One base, and the ordinal added: so that an ordinal gives an address. None of those that the system gives to
        // connections, or the port of a node that is stopped may be taken when it is started again.
        let base = loop {
            static BASES: AtomicU32 = AtomicU32::new(0);
            let turn = std::process::id().wrapping_mul(64).wrapping_add(BASES.fetch_add(1, Ordering::Relaxed));
            let base = 11_000 + 10 * (turn % 2_000) as u16;
            listeners.clear();
            for ordinal in 0..brokers {
                listeners.extend(TcpListener::bind(("127.0.0.1", base + ordinal as u16)).await.ok());
            }
            if listeners.len() == brokers {
                break base;
            }
        };
        let ports = (0..brokers as u16).map(|ordinal| base + ordinal).collect();
        let (nodes, memory) = (Vec::new(), Arc::default());
        let mut cluster = Self { directory, segment_bytes, ports, nodes, archives, memory };
        for (ordinal, listener) in listeners.into_iter().enumerate() {
            let node = Node::start(cluster.settings(ordinal), listener).await.unwrap();
            cluster.nodes.push(Some(node));
        }
        cluster
    }

    fn formation(&self) -> Formation {
        let nodes = (0..).zip(&self.nodes).map(|(ordinal, node)| FirstNode {
            ordinal,
            uuid: node.as_ref().unwrap().uuid(),
            zone: None,
        });
        Formation {
            cluster_id: "test".into(),
            nodes: nodes.collect(),
            default_mirrors: self.nodes.len().min(3) as u8,
            users: vec![FirstUser { name: "guest".into(), password: "guest".into(), loopback_only: true }],
            restore: None,
        }
    }

    fn settings(&self, ordinal: usize) -> Settings {
        let base = self.ports[0].to_string();
        Settings {
            ordinal: ordinal as u32,
            zone: None,
            version: "test".into(),
            directory: self.directory.path().join(ordinal.to_string()),
            disk: Arc::new(SystemDisk),
            journal: Options { segment_bytes: self.segment_bytes, ..Options::default() },
            network: Arc::new(Tcp),
            peer_address: format!("127.0.0.1:{}{{ordinal}}", &base[..base.len() - 1]),
            token: "secret".into(),
            memory_used: {
                let memory = self.memory.clone();
                Arc::new(move || memory.load(Ordering::Relaxed))
            },
            memory_high_water: 64 << 20,
            archiving: self.archives.to.clone(),
            restore_from: self.archives.from.clone(),
            timing: Timing::default(),
        }
    }

    fn node(&self, ordinal: usize) -> &Node {
        self.nodes[ordinal].as_ref().unwrap()
    }

    async fn stop(&mut self, ordinal: usize) {
        let node = self.nodes[ordinal].take().unwrap();
        node.stop().await;
    }

    async fn start(&mut self, ordinal: usize) {
        let listener = loop {
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", self.ports[ordinal])).await {
                break listener;
            }
            tokio::task::yield_now().await;
        };
        self.nodes[ordinal] = Some(Node::start(self.settings(ordinal), listener).await.unwrap());
    }

    async fn lose_data(&mut self, ordinal: usize) {
        self.stop(ordinal).await;
        self.remove_data(ordinal);
    }

    fn remove_data(&self, ordinal: usize) {
        std::fs::remove_dir_all(self.directory.path().join(ordinal.to_string())).unwrap();
    }

    async fn all_serve(&self) {
        until("every node serves", || self.nodes.iter().flatten().all(Node::is_ready)).await;
    }

    async fn all_healthy(&self) {
        loop {
            if let Ok(view) = self.nodes.iter().flatten().next().unwrap().cluster().await
                && view.shards.iter().all(ferrymq_broker::ShardView::is_healthy)
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn client(&self, ordinal: usize) -> Client {
        let node = self.node(ordinal);
        let identity = node.authenticate(login("guest", "guest", [127, 0, 0, 1].into())).await.unwrap();
        let (sender, events) = events();
        let session = node.open(&identity, VirtualHostName::root(), sender).await.unwrap();
        Client { session, events, published: 0, confirmed: Vec::new(), arrived: Vec::new() }
    }
}

struct Client {
    session: Session,
    events: EventReceiver,
    published: u64,
    confirmed: Vec<u64>,
    arrived: Vec<Delivery>,
}

impl Client {
    async fn declare(&self, name: &str) {
        self.session.declare_queue(queue(name)).await.unwrap();
    }

    async fn publish(&mut self, queue: &str, body: &str) {
        self.published += 1;
        let tag = Tag { channel: 1, sequence: self.published };
        let published = self.session.publish(message(queue, body), None, Some(tag)).await.unwrap();
        assert!(matches!(published, Published::Routed));
    }

    async fn all_confirmed(&mut self) {
        while (self.confirmed.len() as u64) < self.published {
            self.next().await;
        }
    }

    async fn consume(&self, name: &str, prefetch: u16) -> ferrymq_core::ConsumerId {
        self.session.subscribe(reading(name, prefetch, None)).await.unwrap()
    }

    async fn receive(&mut self, count: usize) -> Vec<Delivery> {
        while self.arrived.len() < count {
            self.next().await;
        }
        self.arrived.drain(..count).collect()
    }

    async fn next(&mut self) {
        match self.events.recv().await.unwrap() {
            Event::Confirms { confirms, .. } => {
                assert!(confirms.iter().all(|(_, outcome)| *outcome == Confirmation::Stored));
                self.confirmed.extend(confirms.iter().map(|(sequence, _)| sequence));
            }
            Event::Deliveries { deliveries, consumer, .. } => {
                self.session.taken(consumer, deliveries.len() as u32);
                self.arrived.extend(deliveries);
            }
            _ => {}
        }
    }

    fn accept(&self, deliveries: &[Delivery]) {
        let ids: Vec<_> = deliveries.iter().map(|delivery| delivery.id).collect();
        self.session.settle(&ids, Settlement::Accept);
    }

    /// Takes everything that is in the queues, and leaves nothing.
    async fn take_all(&mut self, queues: &[&str], messages: usize) -> BTreeSet<String> {
        for queue in queues {
            self.consume(queue, 4).await;
        }
        let mut got = BTreeSet::new();
        while got.len() < messages {
            let deliveries = self.receive(1).await;
            got.extend(bodies(&deliveries));
            self.accept(&deliveries);
        }
        got
    }
}

fn login(user: &str, password: &str, address: IpAddr) -> Login {
    Login { credentials: Credentials { user: user.into(), password: password.into() }, address }
}

fn queue(name: &str) -> QueueDeclaration {
    QueueDeclaration {
        name: QueueName::new(name.to_owned()).unwrap(),
        durable: true,
        exclusive: false,
        auto_delete: false,
        mirrors: None,
        log: None,
    }
}

fn reading(name: &str, prefetch: u16, position: Option<LogPosition>) -> Subscription {
    Subscription {
        queue: QueueName::new(name.to_owned()).unwrap(),
        channel: 1,
        tag: "c".into(),
        prefetch: prefetch.try_into().ok(),
        exclusive: false,
        priority: 0,
        no_ack: false,
        position,
        filter: None,
    }
}

fn message(queue: &str, body: &str) -> Message {
    Message {
        exchange: ExchangeName::default_exchange(),
        routing_key: RoutingKey::new(queue.to_owned()).unwrap(),
        properties: Properties::default(),
        body: Bytes::from(body.to_owned()),
    }
}

fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8_lossy(&delivery.message.body).into_owned()).collect()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap_or_else(|_| panic!("in time: {what}"));
}

async fn in_time<T>(story: impl Future<Output = T>) -> T {
    if std::env::var("FERRYMQ_LOG").is_ok() {
        let filter = tracing_subscriber::EnvFilter::from_env("FERRYMQ_LOG");
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    }
    tokio::time::timeout(Duration::from_secs(60), story).await.expect("the story ends in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_published_at_one_node_are_consumed_in_order_at_another() {
    in_time(async {
        let cluster = Cluster::of(3).await;
        let mut publisher = cluster.client(0).await;
        for name in ["a", "b", "c", "d"] {
            publisher.declare(name).await;
            let mut consumer = cluster.client(1).await;
            consumer.consume(name, 10).await;
            for number in 0..50 {
                publisher.publish(name, &number.to_string()).await;
            }
            publisher.all_confirmed().await;
            let mut got = Vec::new();
            while got.len() < 50 {
                let deliveries = consumer.receive(1).await;
                consumer.accept(&deliveries);
                got.extend(bodies(&deliveries));
            }
            assert_eq!(got, (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_that_left_held_is_redelivered_and_marked() {
    in_time(async {
        let cluster = Cluster::of(3).await;
        let mut first = cluster.client(0).await;
        first.declare("q").await;
        first.publish("q", "m").await;
        first.consume("q", 1).await;
        let got = first.receive(1).await;
        assert!(!got[0].redelivered);
        drop(first);
        let mut second = cluster.client(1).await;
        second.consume("q", 1).await;
        let got = second.receive(1).await;
        assert!(got[0].redelivered);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exclusive_queue_is_of_its_session_and_goes_with_it() {
    in_time(async {
        let cluster = Cluster::of(1).await;
        let owner = cluster.client(0).await;
        let declared = owner.session.declare_queue(QueueDeclaration { exclusive: true, ..queue("mine") }).await;
        assert_eq!(declared.unwrap().messages, 0);
        let other = cluster.client(0).await;
        let name = QueueName::new("mine").unwrap();
        assert!(matches!(other.session.check_queue(&name).await, Err(Refusal::Locked { .. })));
        drop(owner);
        while other.session.check_queue(&name).await.is_ok_and(|_| true)
            || matches!(other.session.check_queue(&name).await, Err(Refusal::Locked { .. }))
        {
            tokio::task::yield_now().await;
        }
        assert!(matches!(other.session.check_queue(&name).await, Err(Refusal::NotFound { .. })));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_is_counted_got_from_purged_and_deleted() {
    in_time(async {
        let cluster = Cluster::of(3).await;
        let mut client = cluster.client(1).await;
        client.declare("q").await;
        for number in 0..10 {
            client.publish("q", &number.to_string()).await;
        }
        client.all_confirmed().await;
        let name = QueueName::new("q").unwrap();
        assert_eq!(client.session.check_queue(&name).await.unwrap().messages, 10);
        let got = client.session.get(&name).await.unwrap().unwrap();
        assert_eq!((&got.delivery.message.body[..], got.remaining), (&b"0"[..], 9));
        assert_eq!(client.session.purge_queue(&name).await.unwrap(), 9);
        client.session.settle(&[got.delivery.id], Settlement::Requeue);
        while client.session.check_queue(&name).await.unwrap().messages == 0 {
            tokio::task::yield_now().await;
        }
        assert!(client.session.get(&name).await.unwrap().unwrap().delivery.redelivered);
        client.session.delete_queue(&name, false, false).await.unwrap();
        assert!(matches!(client.session.check_queue(&name).await, Err(Refusal::NotFound { .. })));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_wait_while_a_broker_takes_too_much_memory_and_go_on_after() {
    in_time(async {
        let cluster = Cluster::of(1).await;
        let mut publisher = cluster.client(0).await;
        publisher.declare("q").await;
        publisher.publish("q", "before").await;
        publisher.all_confirmed().await;
        cluster.memory.store(65 << 20, Ordering::Relaxed);
        while !matches!(publisher.events.recv().await.unwrap(), Event::Blocked(_)) {}
        let mut consumer = cluster.client(0).await;
        assert!(matches!(consumer.events.recv().await.unwrap(), Event::Blocked(_)), "who comes later is told as well");
        consumer.consume("q", 10).await;
        let relief = async {
            let got = consumer.receive(1).await;
            consumer.accept(&got);
            cluster.memory.store(0, Ordering::Relaxed);
        };
        tokio::join!(publisher.publish("q", "after"), relief);
        publisher.all_confirmed().await;
    })
    .await;
}

/// More than what is kept in memory: most of it is read from the journal again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_is_read_from_the_journal_in_its_order_by_any_leader() {
    in_time(async {
        let mut cluster = Cluster::of(3).await;
        let mut client = cluster.client(0).await;
        client.declare("q").await;
        let body = |number: u32| format!("{number} {}", "x".repeat(50_000));
        for number in 0..200 {
            client.publish("q", &body(number)).await;
            if number % 50 == 49 {
                client.all_confirmed().await;
            }
        }
        let mut consumer = cluster.client(2).await;
        consumer.consume("q", 30).await;
        for number in 0..200 {
            // One of these leads.
            if let Some(node) = [50, 100].iter().position(|at| *at == number) {
                cluster.stop(node).await;
            }
            if let Some(node) = [60, 110].iter().position(|at| *at == number) {
                cluster.start(node).await;
                cluster.all_healthy().await;
            }
            let got = consumer.receive(1).await;
            assert_eq!((&got[0].message.body[..], got[0].redelivered), (body(number).as_bytes(), false));
            consumer.accept(&got);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guest_comes_in_only_from_this_machine_and_only_with_the_password() {
    in_time(async {
        let cluster = Cluster::of(1).await;
        let node = cluster.node(0);
        let far = node.authenticate(login("guest", "guest", [10, 0, 0, 1].into())).await;
        assert!(matches!(far, Err(LoginRefused::LoopbackOnly { .. })));
        let wrong = node.authenticate(login("guest", "wrong", [127, 0, 0, 1].into())).await;
        assert!(matches!(wrong, Err(LoginRefused::Credentials { .. })));
        let unknown = node.authenticate(login("nobody", "x", [127, 0, 0, 1].into())).await;
        assert!(matches!(unknown, Err(LoginRefused::Credentials { .. })));
    })
    .await;
}
