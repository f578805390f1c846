//! Certificates are made, shown and replaced, while clients are at work over TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ferrymq_api::MessageQueue;
use ferrymq_tls::{Certificate, Trust};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::faults;
use crate::traffic::Traffic;
use crate::world::{Broker, READY, TOPIC, World, container_of, until};

/// Three brokers, and TLS for clients.
const WITH_TLS: &str = "
apiVersion: ferrymq.io/v1alpha1
kind: MessageQueue
metadata: {name: orders}
spec: {storage: {size: 1Gi}, tls: {names: [mq.test]}}
";

/// How long a changed Secret may take to its pods: the kubelet looks about once a minute.
const ROTATED: Duration = Duration::from_secs(240);

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_certificate_is_replaced_under_load_and_nobody_notices() {
    if faults::left_out("certificates") {
        return;
    }
    let world = World::new("tls").await;
    world.apply(WITH_TLS);
    world.wait_ready("messagequeue/orders", READY);
    world.condition::<MessageQueue>("orders", "CertificatesValid", ("True", "CertificatesCurrent"), READY).await;
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    links_want_a_certificate(&world).await;

    let trust = trust(&world).await;
    let ended = Arc::new(AtomicUsize::new(0));
    let brokers = tunnels(&world, &trust, &ended).await;
    let mut traffic = Traffic::over(brokers);
    traffic.publish("first", "jobs", "orders-0");
    traffic.publish("second", "jobs", "orders-1");
    traffic.consume("work", "orders-2");
    traffic.flowing(100, READY).await;

    let (before, pods) = (shown(&world, &trust).await, world.pods().await);
    let since = Instant::now();
    world.kubectl(&["delete", "secret", "orders-tls", "orders-internal-tls"]);
    until("every broker to show another certificate", ROTATED, async || {
        let now = shown(&world, &trust).await;
        now.iter().zip(&before).all(|(now, before)| now != before).then_some(())
    })
    .await;
    println!("measured: a deleted certificate is replaced at every broker after {} s", since.elapsed().as_secs());
    // The other one may come a moment later; load goes on over links of before and after.
    world.healthy().await;
    traffic.flowing(200, READY).await;

    assert_eq!(ended.load(Ordering::Relaxed), 0, "a connection of a client ended");
    let containers = |pods: &[Pod]| pods.iter().map(container_of).collect::<Vec<_>>();
    assert_eq!(containers(&pods), containers(&world.pods().await), "a broker was restarted");
    links_want_a_certificate(&world).await;
    let report = traffic.settle().await;
    println!("measured: certificates replaced under load over TLS: {report}");
}

/// Whom clients are to trust, as their Secret says it.
async fn trust(world: &World) -> Trust {
    let secret = world.api::<Secret>().get("orders-default-user").await.expect("the Secret for clients is there");
    let data = secret.data.expect("it has data");
    let uri = String::from_utf8(data["amqps-uri"].0.clone()).expect("the URI is text");
    assert!(uri.ends_with(&format!("@orders.{}.svc:5671/", world.namespace)), "{uri}");
    Trust::new(&data["ca.crt"].0, "mq.test").expect("the authority is one")
}

/// The numbers of the certificates that the brokers show to a client.
async fn shown(world: &World, trust: &Trust) -> Vec<String> {
    let mut serials = Vec::new();
    for pod in world.pods().await {
        let address = address(&pod, 5671);
        let socket = TcpStream::connect(&address).await.expect("the listener is there");
        let socket = trust.connector().connect(trust.name.clone(), socket).await.expect("its certificate is trusted");
        let chain = socket.get_ref().1.peer_certificates().expect("it shows one");
        serials.push(chain.first().and_then(|shown| Certificate::read(shown)).expect("it can be read").serial);
    }
    serials
}

/// A port of this machine for each broker, from which connections go on over TLS; counts those that a broker ended.
async fn tunnels(world: &World, trust: &Trust, ended: &Arc<AtomicUsize>) -> Vec<Broker> {
    let mut brokers = world.brokers().await;
    for broker in &mut brokers {
        let to = address(&world.pod(&broker.pod).await, 5671);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("it has one").port();
        tokio::spawn(tunnel(listener, to, trust.clone(), ended.clone()));
        let (before, after) = broker.uri.split_once('@').expect("the URI has credentials");
        let (_, path) = after.split_once('/').expect("the URI has a virtual host");
        broker.uri = format!("{before}@127.0.0.1:{port}/{path}");
    }
    brokers
}

async fn tunnel(listener: TcpListener, to: String, trust: Trust, ended: Arc<AtomicUsize>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let (to, trust, ended) = (to.clone(), trust.clone(), ended.clone());
        tokio::spawn(async move {
            let far = TcpStream::connect(&to).await.expect("the listener is there");
            let mut far = trust.connector().connect(trust.name.clone(), far).await.expect("it is trusted");
            // A client that is done ends its connection in good order, and then this ends well.
            if copy_bidirectional(&mut near, &mut far).await.is_err() {
                ended.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

/// At the port of links, who shows no certificate is refused, with TLS and without.
async fn links_want_a_certificate(world: &World) {
    let authority = world.api::<Secret>().get("orders-internal-ca").await.expect("there is an authority");
    let authority = authority.data.expect("it has data")["ca.crt"].0.clone();
    let name = format!("orders-nodes.{}.svc", world.namespace);
    let trust = Trust::new(&authority, &name).expect("the authority is one");
    for pod in world.pods().await {
        let address = address(&pod, 7400);
        let socket = TcpStream::connect(&address).await.expect("links are listened for");
        let mut socket = trust.connector().connect(trust.name.clone(), socket).await.expect("it is the cluster's own");
        // In TLS 1.3 who dials is done before its certificate, here none, was looked at.
        let read = socket.read_u8().await;
        assert!(read.is_err(), "{} let in a link without a certificate", pod.name_any());
        let mut plain = TcpStream::connect(&address).await.expect("links are listened for");
        plain.write_all(&[126, 0, 0, 0]).await.expect("something is sent");
        let mut answer = Vec::new();
        let read = plain.read_to_end(&mut answer).await;
        assert!(read.is_err() || answer.is_empty(), "{} answered a link without TLS", pod.name_any());
    }
}

fn address(pod: &Pod, port: u16) -> String {
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).expect("the pod has an address");
    format!("{ip}:{port}")
}
