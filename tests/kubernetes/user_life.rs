//! A User connects by its Secret, is refused what it may not do, gets another password, and goes in any order.

use std::time::{Duration, Instant};

use ferrymq_api::User;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt as _;
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::{BasicProperties, Channel, types::FieldTable};

use crate::command::kubectl;
use crate::traffic::{Link, connect};
use crate::world::{READY, THREE_BROKERS, World, until};

/// A password that was changed in its Secret is to be the broker's within this.
const ROTATED: Duration = Duration::from_secs(2);

/// How long the end of a namespace with everything in it may take.
const END: Duration = Duration::from_secs(60);

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn user_life_is_bound_by_its_permissions_and_its_password() {
    let world = World::with_cluster("user-life").await;
    let started = Instant::now();
    world.apply(&user(
        "billing",
        "billing",
        "permissions: [{configure: ^orders, write: ^amq.default$, read: ^orders}]",
    ));
    world.wait_ready("user/billing", READY);
    println!("measured: a User is ready after {:.1} s", started.elapsed().as_secs_f64());

    // All that its clients need is in the Secret that its status names.
    let secret = binding(&world, "billing").await;
    let link = connect_by(&world, &secret).await.expect("the Secret lets in");
    publish_and_get(&link.channel, "orders.eu").await;
    let refused =
        link.channel.queue_declare("invoices".into(), durable(), FieldTable::default()).await.unwrap_err().to_string();
    assert!(
        refused.contains("configure access to queue 'invoices' in vhost '/' refused for user 'billing'"),
        "{refused}"
    );
    assert!(connect_as(&world, "billing", "another").await.is_none());
    link.close().await;

    // A password of one's own; first one that is not there.
    world.apply(&user(
        "billing",
        "billing",
        "passwordSecret: {name: mine}, permissions: [{configure: .*, write: .*, read: .*}]",
    ));
    let told = world.condition::<User>("billing", "Ready", ("False", "PasswordMissing"), READY).await;
    assert!(told.contains("there is no Secret mine"), "{told}");
    world.kubectl(&["create", "secret", "generic", "mine", "--from-literal=pass=x"]);
    let said = "Secret mine has no key password; it has pass";
    until("the missing key to be named", READY, async || {
        let user = world.api::<User>().get("billing").await.ok()?;
        user.status?.conditions.iter().any(|condition| condition.message == said).then_some(())
    })
    .await;
    set_password(&world, "first");
    world.condition::<User>("billing", "Ready", ("True", "Declared"), READY).await;
    until("the password to be in the Secret for clients", READY, async || {
        (text(&binding(&world, "billing").await, "password") == "first").then_some(())
    })
    .await;
    let link =
        until("the password to be the broker's", READY, async || connect_as(&world, "billing", "first").await).await;

    // Rotated: the new one is taken soon, the old one refused; who is connected stays.
    set_password(&world, "second");
    let changed = Instant::now();
    let taken = loop {
        if let Some(link) = connect_as(&world, "billing", "second").await {
            let taken = changed.elapsed();
            link.close().await;
            break taken;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    println!("measured: a changed password is taken after {:.2} s", taken.as_secs_f64());
    assert!(taken < ROTATED, "{taken:?}");
    assert!(connect_as(&world, "billing", "first").await.is_none());
    publish_and_get(&link.channel, "invoices").await;

    // Gone: who is connected goes too.
    world.kubectl(&["delete", "mqu", "billing", "--timeout=30s"]);
    tokio::time::timeout(READY, link.gone()).await.expect("the connection of a deleted user is closed");
    assert!(connect_as(&world, "billing", "second").await.is_none());
}

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn user_life_has_one_owner_and_ends_in_any_order() {
    let world = World::with_cluster("user-end").await;
    world.apply(&user("first", "shared", "deletionPolicy: Retain"));
    world.wait_ready("user/first", READY);
    world.apply(&user("second", "shared", "permissions: [{read: .*}]"));
    let told = world.condition::<User>("second", "Ready", ("False", "UserConflict"), READY).await;
    println!("measured: the second of two Users of a name says: {told}");
    assert!(told.contains("belongs to") && told.contains("/first"), "{told}");
    // The second one takes over what the first one left.
    world.kubectl(&["delete", "mqu", "first", "--timeout=30s"]);
    world.condition::<User>("second", "Ready", ("True", "Declared"), READY).await;
    let cluster_user = text(&cluster_secret(&world).await, "username");
    world.apply(&user("third", &cluster_user, ""));
    world.condition::<User>("third", "Ready", ("False", "UserConflict"), READY).await;
    world.apply(&user("lost", "lost", "").replace("cluster: orders", "cluster: nowhere"));
    world.condition::<User>("lost", "Ready", ("False", "ClusterNotFound"), READY).await;

    // The cluster first: nothing waits for it.
    world.kubectl(&["delete", "mq", "orders", "--timeout=60s"]);
    world.kubectl(&["delete", "mqu", "second", "--timeout=30s"]);
    world.apply(&THREE_BROKERS.replace("orders", "others"));
    world.wait_ready("messagequeue/others", READY);
    world.apply(&user("last", "last", "").replace("cluster: orders", "cluster: others"));
    world.wait_ready("user/last", READY);
    let started = Instant::now();
    kubectl(&["delete", "namespace", &world.namespace, &format!("--timeout={}s", END.as_secs())]);
    println!("measured: end of a namespace with a cluster and Users: {:.1} s", started.elapsed().as_secs_f64());
}

fn user(resource: &str, name: &str, more: &str) -> String {
    let more = if more.is_empty() { String::new() } else { format!(", {more}") };
    format!(
        "
apiVersion: ferrymq.io/v1alpha1
kind: User
metadata: {{name: {resource}}}
spec: {{cluster: orders, name: {name}{more}}}
"
    )
}

fn set_password(world: &World, password: &str) {
    let patch = format!(r#"{{"stringData": {{"password": "{password}"}}}}"#);
    world.kubectl(&["patch", "secret", "mine", "--type=merge", "-p", &patch]);
}

/// The Secret that the status of a User names.
async fn binding(world: &World, name: &str) -> Secret {
    let user = world.api::<User>().get(name).await.expect("the User is there");
    let secret = user.status.and_then(|status| status.binding).expect("a User that was ready has a Secret").name;
    world.api::<Secret>().get(&secret).await.expect("the Secret is there")
}

async fn cluster_secret(world: &World) -> Secret {
    let name = world.cluster().await.status.and_then(|status| status.binding).expect("a cluster has a Secret").name;
    world.api::<Secret>().get(&name).await.expect("the Secret is there")
}

fn text(secret: &Secret, key: &str) -> String {
    let data = secret.data.as_ref().expect("the Secret has data");
    String::from_utf8(data[key].0.clone()).expect("the Secret is text")
}

/// A connection by what a Secret says, at a broker of its Service: the host of the test resolves no names of Kubernetes.
async fn connect_by(world: &World, secret: &Secret) -> Option<Link> {
    let uri = text(secret, "uri");
    assert!(uri.contains(&format!("@{}:{}/", text(secret, "host"), text(secret, "port"))), "{uri}");
    assert_eq!(text(secret, "host"), format!("orders.{}.svc", world.namespace));
    connect_as(world, &text(secret, "username"), &text(secret, "password")).await
}

async fn connect_as(world: &World, user: &str, password: &str) -> Option<Link> {
    let pods = world.pods().await;
    let address = |pod: &Pod| pod.status.as_ref().and_then(|status| status.pod_ip.clone());
    let address =
        pods.iter().find(|pod| pod.name_any() == "orders-0").and_then(address).expect("orders-0 has an address");
    connect(&format!("amqp://{user}:{password}@{address}:5672/%2f")).await
}

fn durable() -> QueueDeclareOptions {
    QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() }
}

async fn publish_and_get(channel: &Channel, queue: &str) {
    channel.queue_declare(queue.into(), durable(), FieldTable::default()).await.expect("the queue is declared");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms are turned on");
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default().with_delivery_mode(2));
    let published = channel.basic_publish("".into(), queue.into(), options, b"message", properties).await;
    published.expect("it is published").await.expect("it is confirmed");
    let got = channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.expect("the queue is read");
    assert!(got.is_some());
}
