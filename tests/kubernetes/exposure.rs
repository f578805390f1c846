//! A cluster is reached from outside, as its spec says, and by nobody whom it does not let in.

use ferrymq_api::{Endpoint, MessageQueue};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt as _;
use kube::api::ListParams;

use crate::faults::{self, enforce_policies};
use crate::install;
use crate::metrics::samples;
use crate::traffic::{Traffic, connect};
use crate::world::{Broker, PODS, READY, TOPIC, World, until};

/// A cluster of one broker, whose network is the same as that of three.
const ONE_BROKER: &str = "
apiVersion: ferrymq.io/v1alpha1
kind: MessageQueue
metadata: {name: orders}
spec: {replicas: 1, storage: {size: 1Gi, reclaimPolicy: Delete}}
";

/// How many connections of clients a broker has taken.
const ACCEPTED: &str = "ferrymq_connections_opened_total{listener=\"amqp\"}";

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn listeners_are_exposed_and_hidden_again_and_no_client_notices() {
    if faults::left_out("the ports of machines") {
        return;
    }
    let world = World::with_cluster("exposure").await;
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    let mut traffic = Traffic::new(&world).await;
    traffic.publish("inside", "jobs", "orders-0");
    traffic.consume("work", "orders-1");
    traffic.flowing(200, READY).await;
    let before = world.uids().await;

    expose(&world, r#"{"type": "NodePort", "eachBroker": true}"#);
    let exposed = endpoint(&world, |endpoint| endpoint.external.is_some() && all_have_addresses(endpoint, 3)).await;
    world.condition::<MessageQueue>("orders", "ListenersExposed", ("True", "AddressesAssigned"), READY).await;
    for (pod, address) in exposed.brokers.iter().zip(addresses(&exposed)) {
        let (to_it, to_others) = (accepted(&world, &pod.name).await, all_accepted(&world).await);
        let uri = at(&world, &address).await;
        until(&format!("{} to answer at {address}", pod.name), READY, async || connect(&uri).await).await.close().await;
        let reached = async || (accepted(&world, &pod.name).await > to_it).then_some(());
        until(&format!("{} to have taken the connection", pod.name), READY, reached).await;
        let others = all_accepted(&world).await - accepted(&world, &pod.name).await;
        assert!(others <= to_others - to_it, "{address} leads to {} and to no other", pod.name);
    }

    // Clients from outside, each at its broker.
    let outside = exposed.brokers.iter().zip(addresses(&exposed));
    let mut brokers = Vec::new();
    for (broker, address) in outside {
        brokers.push(Broker { pod: broker.name.clone(), uri: at(&world, &address).await });
    }
    traffic.connect_to(brokers);
    traffic.publish("outside", "jobs", "orders-2");
    traffic.flowing(100, READY).await;
    traffic.find_brokers(&world).await;

    // A load balancer, which here nobody makes: that is said, and the cluster serves.
    expose(&world, r#"{"type": "LoadBalancer", "port": 443, "eachBroker": false}"#);
    let said =
        world.condition::<MessageQueue>("orders", "ListenersExposed", ("False", "AddressesPending"), READY).await;
    println!("said: {said}");
    assert!(said.contains("orders-ext-amqp"), "{said}");
    world.condition::<MessageQueue>("orders", "Ready", ("True", "AllServing"), READY).await;
    until("the Services of brokers to be gone", READY, async || {
        (services(&world).await == ["orders-ext-amqp"]).then_some(())
    })
    .await;
    let given = r#"{"status": {"loadBalancer": {"ingress": [{"hostname": "mq.test"}]}}}"#;
    world.kubectl(&["patch", "service", "orders-ext-amqp", "--subresource=status", "--type=merge", "-p", given]);
    let exposed = endpoint(&world, |endpoint| endpoint.external.is_some()).await;
    assert_eq!((exposed.external.as_deref(), exposed.brokers.len()), (Some("mq.test:443"), 0));

    world.kubectl(&["patch", "mq/orders", "--type=merge", "-p", r#"{"spec": {"listeners": null}}"#]);
    until("nothing to be exposed", READY, async || services(&world).await.is_empty().then_some(())).await;
    endpoint(&world, |endpoint| endpoint.external.is_none()).await;

    assert_eq!(world.uids().await, before, "no broker was restarted");
    traffic.whole();
    traffic.flowing(200, READY).await;
    println!("measured: exposed, otherwise, and not any more: {}", traffic.settle().await);
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn nobody_comes_in_whom_the_spec_does_not_let_in() {
    if faults::left_out("policies of the network") {
        return;
    }
    let world = World::with_cluster("policy").await;
    let elsewhere = World::new("policy-else").await;
    elsewhere.apply(ONE_BROKER);
    elsewhere.wait_ready("messagequeue/orders", READY);
    let _enforced = enforce_policies();
    let (own, to) = (world.pod("orders-0").await, world.pod("orders-1").await);
    let other = elsewhere.pod("orders-0").await;
    let operator = install::operator(&world).await.remove(0);
    let reaches = |from: &Pod, port| faults::reaches(from, &to, port);

    // What brokers say among themselves is for them, and the admin API for the operator besides.
    until("the policy to be enforced", READY, async || (!reaches(&other, 7400)).then_some(())).await;
    assert!(reaches(&own, 7400) && reaches(&own, 7500), "brokers reach each other");
    assert!(reaches(&operator, 7500) && !reaches(&operator, 7400), "the operator reaches the admin API alone");
    assert!(!reaches(&other, 7500), "nobody else does");
    assert!(reaches(&other, 5672) && reaches(&other, 9419), "clients and readers of metrics come from anywhere");
    world.healthy().await;

    let from = format!(
        r#"[{{"namespaceSelector": {{"matchLabels": {{"kubernetes.io/metadata.name": "{}"}}}}}}]"#,
        elsewhere.namespace
    );
    let listeners = format!(r#"[{{"name": "amqp", "protocol": "amqp", "port": 5672, "from": {from}}}]"#);
    let metrics = r#"{"metricsFrom": [{"podSelector": {}}]}"#;
    patch(&world, &format!(r#"{{"listeners": {listeners}, "networkPolicy": {metrics}}}"#));
    until("others to be kept from metrics", READY, async || (!reaches(&other, 9419)).then_some(())).await;
    assert!(reaches(&other, 5672), "clients come from where the listener says");
    until("others to be kept from the listener", READY, async || (!reaches(&operator, 5672)).then_some(())).await;
    assert!(reaches(&own, 9419), "metrics are read from where the spec says");

    patch(&world, r#"{"networkPolicy": {"mode": "Disabled", "metricsFrom": null}}"#);
    until("the policy to be gone", READY, async || {
        let policies = world.api::<NetworkPolicy>().list(&ListParams::default()).await.ok()?;
        policies.items.is_empty().then_some(())
    })
    .await;
    until("everybody to be let in", READY, async || reaches(&other, 7400).then_some(())).await;
    world.condition::<MessageQueue>("orders", "Ready", ("True", "AllServing"), READY).await;
}

fn patch(world: &World, spec: &str) {
    world.kubectl(&["patch", "mq/orders", "--type=merge", "-p", &format!(r#"{{"spec": {spec}}}"#)]);
}

fn expose(world: &World, expose: &str) {
    let listener = format!(r#"{{"name": "amqp", "protocol": "amqp", "port": 5672, "expose": {expose}}}"#);
    patch(world, &format!(r#"{{"listeners": [{listener}]}}"#));
}

/// Waits until the one listener's endpoint is as it should be.
async fn endpoint(world: &World, is: impl Fn(&Endpoint) -> bool) -> Endpoint {
    until("the endpoint to be in the status", READY, async || {
        let endpoints = world.cluster().await.status?.endpoints;
        endpoints.into_iter().find(|endpoint| endpoint.name == "amqp" && is(endpoint))
    })
    .await
}

fn all_have_addresses(endpoint: &Endpoint, brokers: usize) -> bool {
    endpoint.brokers.len() == brokers && endpoint.brokers.iter().all(|broker| broker.external.is_some())
}

fn addresses(endpoint: &Endpoint) -> Vec<String> {
    endpoint.brokers.iter().filter_map(|broker| broker.external.clone()).collect()
}

/// The URI of the cluster's first user, at this host and port.
async fn at(world: &World, address: &str) -> String {
    let broker = world.brokers().await.into_iter().next().expect("there are brokers");
    let (before, after) = broker.uri.split_once('@').expect("the URI has credentials");
    let (_, path) = after.split_once('/').expect("the URI has a virtual host");
    format!("{before}@{address}/{path}")
}

async fn accepted(world: &World, pod: &str) -> f64 {
    samples(&world.pod(pod).await).await.get(ACCEPTED).copied().expect("a broker counts what it takes")
}

async fn all_accepted(world: &World) -> f64 {
    let mut sum = 0.0;
    for pod in PODS {
        sum += accepted(world, pod).await;
    }
    sum
}

/// The Services of listeners that are exposed.
async fn services(world: &World) -> Vec<String> {
    let services = world.api::<Service>().list(&ListParams::default()).await.expect("services can be listed");
    services.iter().map(|service| service.name_any()).filter(|name| name.starts_with("orders-ext-")).collect()
}
