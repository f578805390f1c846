//! The whole of it, over real sockets: the real client, or bytes written by hand.

use std::{net::SocketAddr, time::Duration};

use ferrymq_admin_api::{
    Adoption, Client, Draining, Formation, NewUser, NodeRemoval, Owner, Phase, Reason, TopicDeclaration, TopicRemoval,
    UserDeclaration, UserRemoval, routes,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use crate::{METRICS, METRICS_PER_OBJECT, MetricsPort, REQUEST_LIMIT, Token, fake::FakeNode, serve, serve_metrics};

const PATIENCE: Duration = Duration::from_secs(10);

struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Served {
    async fn start(node: FakeNode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(listener, None, node, Token::new("secret").unwrap(), shutdown));
        Self { address, stop, task }
    }

    fn client(&self) -> Client {
        self.client_with("secret")
    }

    fn client_with(&self, token: &str) -> Client {
        Client::new(&format!("http://{}", self.address), token).unwrap()
    }

    /// Sends these bytes and gives all that is answered until the connection ends.
    async fn send(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> String {
        let length = body.len();
        self.send(
            format!(
                "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\n\
                 content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
            .as_bytes(),
        )
        .await
    }
}

fn topic(name: &str) -> TopicDeclaration {
    TopicDeclaration {
        virtual_host: "/".to_owned(),
        name: name.to_owned(),
        owner: Owner { name: format!("shop/{name}"), uid: "u".to_owned() },
        adoption: Adoption::AdoptIfCompatible,
        exchange_type: "topic".to_owned(),
        mirrors: None,
        bindings: Vec::new(),
        queues: Vec::new(),
        log: None,
    }
}

fn removal(name: &str, only_if_empty: bool) -> TopicRemoval {
    TopicRemoval {
        virtual_host: "/".to_owned(),
        name: name.to_owned(),
        owner_uid: "u".to_owned(),
        delete: true,
        only_if_empty,
    }
}

#[tokio::test]
async fn every_call_of_the_client_is_answered() {
    let node = FakeNode::default();
    let served = Served::start(node.clone()).await;
    let client = served.client();

    assert_eq!(client.node().await.unwrap().phase, Phase::Unformed);
    assert!(!client.ready().await.unwrap());
    let guest = NewUser { name: "guest".to_owned(), password: "guest".to_owned(), loopback_only: true };
    let formation = Formation {
        cluster_id: "c".to_owned(),
        members: Vec::new(),
        default_mirrors: 1,
        users: vec![guest],
        restore: None,
    };
    client.form(&formation).await.unwrap();
    assert!(client.ready().await.unwrap());
    assert_eq!(client.cluster().await.unwrap().messages, 7);
    assert_eq!(client.safe_to_stop().await.unwrap().reason, "shard 3 would lose its majority");

    assert_eq!(client.declare_topic(&topic("order.created")).await.unwrap().declaration, topic("order.created"));
    assert_eq!(client.topics().await.unwrap().topics.len(), 1);
    client.remove_topic(&removal("order.created", false)).await.unwrap();
    assert_eq!(client.topics().await.unwrap().topics.len(), 0);

    let user = NewUser { name: "shop".to_owned(), password: "p".to_owned(), loopback_only: false };
    client.put_user(&user).await.unwrap();
    assert_eq!(node.users(), ["guest", "shop"]);
    let declaration = UserDeclaration {
        name: "reader".to_owned(),
        owner: Owner { name: "shop/reader".to_owned(), uid: "u".to_owned() },
        password: "p".to_owned(),
        password_version: "1".to_owned(),
        permissions: Vec::new(),
    };
    let view = client.declare_user(&declaration).await.unwrap();
    assert_eq!(view.declared.as_ref().and_then(|declared| declared.owner.clone()), Some(declaration.owner));
    assert_eq!(client.users().await.unwrap(), [view]);
    let removal = UserRemoval { name: "reader".to_owned(), owner_uid: "u".to_owned(), delete: true };
    client.remove_user(&removal).await.unwrap();
    assert_eq!(client.users().await.unwrap(), []);
    client.hand_over().await.unwrap();
    assert!(node.handed_over());
}

#[tokio::test]
async fn a_broker_is_emptied_and_then_removed() {
    let served = Served::start(FakeNode::serving()).await;
    let client = served.client();
    let refused = client.remove_node(&NodeRemoval { ordinal: 3 }).await.unwrap_err();
    assert_eq!(refused.refusal().map(|refusal| refusal.reason), Some(Reason::WouldNotFit));
    client.drain(&Draining { ordinal: 3, draining: true }).await.unwrap();
    client.remove_node(&NodeRemoval { ordinal: 3 }).await.unwrap();
}

#[tokio::test]
async fn a_refusal_of_the_node_reaches_the_client_as_it_is() {
    let served = Served::start(FakeNode::serving()).await;
    let error = served.client().remove_topic(&removal("invoices", true)).await.unwrap_err();
    let refusal = error.refusal().unwrap();
    assert_eq!((refusal.reason, refusal.message.as_str()), (Reason::NotEmpty, "topic invoices has 3 messages"));
}

#[tokio::test]
async fn without_the_token_only_the_probes_are_answered() {
    let served = Served::start(FakeNode::serving()).await;
    let stranger = served.client_with("guess");
    assert!(stranger.ready().await.unwrap());
    assert_eq!(stranger.node().await.unwrap_err().refusal().unwrap().reason, Reason::Unauthorized);
    assert_eq!(stranger.topics().await.unwrap_err().refusal().unwrap().reason, Reason::Unauthorized);

    let answer = served.send(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // Nor is it told what there is and what not.
    let answer = served.send(b"GET /secrets HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[tokio::test]
async fn a_node_that_is_not_ready_says_why() {
    let served = Served::start(FakeNode::default()).await;
    let answer = served.send(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("waits to be told to form a cluster"), "{answer}");
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused_with_its_line_and_column() {
    let served = Served::start(FakeNode::serving()).await;
    let answer = served.call("PUT", routes::TOPIC, "{\"virtualHost\":").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains(r#""reason":"Invalid""#) && answer.contains("line 1 column 15"), "{answer}");
}

#[tokio::test]
async fn a_body_that_lacks_a_field_is_refused_with_its_name() {
    let served = Served::start(FakeNode::serving()).await;
    let answer = served.call("PUT", routes::TOPIC, "{\"virtualHost\":\"/\"}").await;
    assert!(answer.contains("missing field `name`"), "{answer}");
}

#[tokio::test]
async fn a_call_that_does_not_exist_is_refused_in_json() {
    let served = Served::start(FakeNode::serving()).await;
    for (method, path) in [("GET", "/admin/v1/brokers"), ("PATCH", routes::TOPIC), ("POST", routes::LIVEZ)] {
        let answer = served.call(method, path, "").await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        assert!(answer.contains(&format!("{method} {path} is not a call")), "{answer}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let served = Served::start(FakeNode::serving()).await;
    let answer = served
        .send(
            b"PUT /admin/v1/topic HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\n\
              content-length: 4194305\r\nconnection: close\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("at most 4194304 bytes"), "{answer}");
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let served = Served::start(FakeNode::serving()).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let line = [b'a'; 1024];
    let mut sent = 0;
    // The other side closes long before all of it is sent.
    while sent < 16 * 1024 * 1024 && stream.write_all(&line).await.is_ok() {
        sent += line.len();
    }
    assert!(sent < 16 * 1024 * 1024);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_ends_is_given_up() {
    let node = FakeNode::serving();
    node.get_stuck();
    let app = crate::router(node, Token::new("secret").unwrap());
    let request = axum::http::Request::get(routes::CLUSTER).header("authorization", "Bearer secret");
    let started = tokio::time::Instant::now();
    let answer = hyper::service::Service::call(
        &hyper_util::service::TowerToHyperService::new(app),
        request.body(axum::body::Body::empty()).unwrap(),
    )
    .await
    .unwrap();
    assert_eq!(answer.status(), 503);
    assert!(started.elapsed() >= REQUEST_LIMIT);
}

#[tokio::test]
async fn stopping_waits_for_no_one_who_is_idle() {
    let served = Served::start(FakeNode::serving()).await;
    let _idle = TcpStream::connect(served.address).await.unwrap();
    // Its connection stays open in the client's pool.
    let client = served.client();
    client.node().await.unwrap();
    served.stop.send(()).unwrap();
    timeout(PATIENCE, served.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[derive(Clone)]
struct FakeMetrics;

impl MetricsPort for FakeMetrics {
    fn totals(&self) -> Result<String, String> {
        Ok("# EOF\n".to_owned())
    }

    fn per_object(&self, prefix: &str) -> Result<String, String> {
        if prefix.is_empty() { Err("everything is too much".to_owned()) } else { Ok(format!("# of {prefix}\n")) }
    }
}

#[tokio::test]
async fn metrics_are_served_to_whoever_asks_and_nothing_else_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(serve_metrics(listener, FakeMetrics, async {
        let _ = stopped.await;
    }));
    let served = Served { address, stop, task };
    let get = |path: String| {
        let served = &served;
        async move { served.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await }
    };
    let answer = get(METRICS.to_owned()).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n# EOF\n"), "{answer}");
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{answer}");
    let answer = get(format!("{METRICS_PER_OBJECT}?prefix=orders.")).await;
    assert!(answer.ends_with("# of orders.\n"), "{answer}");
    let answer = get(METRICS_PER_OBJECT.to_owned()).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("everything is too much"), "{answer}");
    for path in [routes::NODE, routes::LIVEZ, "/metrics/per-object?prefixes=a"] {
        let answer = get(path.to_owned()).await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{answer}");
    }
    served.stop.send(()).unwrap();
    timeout(PATIENCE, served.task).await.unwrap().unwrap();
}
