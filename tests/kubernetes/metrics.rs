//! What brokers and the operator say of themselves in figures, as monitoring reads it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::install;
use crate::traffic::Traffic;
use crate::world::{READY, TOPIC, World, until};

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn metrics_say_what_clients_did_and_how_the_cluster_is() {
    let world = World::with_cluster("metrics").await;
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    let mut traffic = Traffic::new(&world).await;
    traffic.publish("anybody", "jobs", "orders-0");
    traffic.consume("work", "orders-2");
    traffic.flowing(200, READY).await;
    traffic.settle().await;
    world.healthy().await;

    let sum = async |name: &str| {
        let mut sum = 0.0;
        for pod in world.pods().await {
            sum += samples(&pod).await.get(name).copied().unwrap_or_default();
        }
        sum
    };
    assert!(sum("ferrymq_messages_confirmed_total").await >= 200.0);
    assert!(sum("ferrymq_messages_acknowledged_total").await > 0.0);
    // What the consumer held when it went is there again.
    let accounted_for = async || {
        let left = sum("ferrymq_messages_ready").await + sum("ferrymq_messages_unacknowledged").await;
        let confirmed = sum("ferrymq_messages_confirmed_total").await;
        (sum("ferrymq_messages_acknowledged_total").await + left == confirmed).then_some(())
    };
    until("all that was confirmed is acknowledged or there", READY, accounted_for).await;
    let in_sync = async || (sum("ferrymq_shards_mirrors_out_of_sync").await == 0.0).then_some(());
    until("all mirrors are in sync", READY, in_sync).await;
    assert_eq!(sum("ferrymq_shards_unavailable").await, 0.0);
    assert_eq!(sum("ferrymq_catalogue_leader").await, 1.0);
    assert_eq!(sum("ferrymq_serving").await, 3.0);

    let namespace = &world.namespace;
    let of_cluster = format!("namespace=\"{namespace}\",messagequeue=\"orders\"");
    let told = async || {
        for operator in install::operator(&world).await {
            let samples = samples(&operator).await;
            let is = |name: &str, value: f64| samples.get(name) == Some(&value);
            if is("ferrymq_operator_leader", 1.0)
                && is(&format!("ferrymq_cluster_brokers_ready{{{of_cluster}}}"), 3.0)
                && is(&format!("ferrymq_cluster_condition{{{of_cluster},type=\"Ready\",status=\"True\"}}"), 1.0)
            {
                return Some(());
            }
        }
        None
    };
    until("the operator says that the cluster is ready", READY, told).await;
}

/// What a pod says at `/metrics`; nothing where it does not answer.
pub(crate) async fn samples(pod: &Pod) -> BTreeMap<String, f64> {
    let page = page(pod).await.unwrap_or_default();
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

async fn page(pod: &Pod) -> Option<String> {
    let address = pod.status.as_ref()?.pod_ip.clone()?;
    let mut socket = TcpStream::connect((address.as_str(), 9419)).await.ok()?;
    socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}
