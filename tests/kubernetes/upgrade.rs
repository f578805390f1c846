//! From the previous build of chart, operator and brokers to this one, and back.

use std::env;
use std::time::Instant;

use ferrymq_api::{MessageQueue, Topic, User};

use crate::command::{kubectl, try_helm};
use crate::install::{CHART, NAMESPACE, image, install};
use crate::traffic::Traffic;
use crate::world::{PODS, READY, THREE_BROKERS, TOPIC, World, until};

const USER: &str = "
apiVersion: ferrymq.io/v1alpha1
kind: User
metadata: {name: billing}
spec: {cluster: orders, permissions: [{read: .*}]}
";

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn the_previous_build_is_upgraded_under_load_and_back() {
    let Some(previous) = Previous::from_environment() else { return };
    let world = World::new("upgrade").await;
    let _present_again = previous.installed();
    world.apply(&format!("{THREE_BROKERS}---{TOPIC}---{USER}"));
    for resource in ["messagequeue/orders", "topic/jobs", "user/billing"] {
        world.wait_ready(resource, READY);
    }
    assert_eq!(images(&world).await, std::slice::from_ref(&previous.image));
    let mut traffic = Traffic::new(&world).await;
    for broker in ["orders-0", "orders-1"] {
        traffic.publish(broker, "jobs", broker);
    }
    traffic.consume("work", "orders-2");
    traffic.flowing(300, READY).await;

    // Another operator restarts nobody: it says what it would do, and waits.
    let before = world.uids().await;
    install(CHART, &image());
    for definition in ["messagequeues", "topics", "users"] {
        kubectl(&["wait", "--for=condition=Established", &format!("crd/{definition}.ferrymq.io")]);
    }
    let said = world.condition::<MessageQueue>("orders", "UpdateComplete", ("False", "UpgradeWaits"), READY).await;
    println!("said: {said}");
    world.condition::<Topic>("jobs", "Ready", ("True", "Declared"), READY).await;
    world.condition::<User>("billing", "Ready", ("True", "Declared"), READY).await;
    world.condition::<MessageQueue>("orders", "Ready", ("True", "AllServing"), READY).await;
    traffic.flowing(300, READY).await;
    assert_eq!(world.uids().await, before, "no broker was restarted");
    traffic.whole();

    moved(&world, &traffic, &image(), "the present build").await;

    // And back, as helm goes back.
    let before = world.uids().await;
    if let Err(complaint) = try_helm(&["rollback", "ferrymq", "--namespace", NAMESPACE, "--wait", "--timeout", "60s"]) {
        panic!("helm does not go back: {complaint}");
    }
    let said = world.condition::<MessageQueue>("orders", "UpdateComplete", ("False", "UpgradeWaits"), READY).await;
    println!("said: {said}");
    traffic.flowing(300, READY).await;
    assert_eq!(world.uids().await, before, "no broker was restarted");
    traffic.whole();
    moved(&world, &traffic, &previous.image, "the previous build").await;

    let report = traffic.settle().await;
    println!("measured: upgraded and back: {report}");
}

/// Approves the plan: one broker after the other runs this image, and nobody loses anything.
async fn moved(world: &World, traffic: &Traffic, image: &str, to: &str) {
    let plan = until("a plan in the status", READY, async || world.cluster().await.status?.plan).await;
    assert_eq!((plan.image.as_str(), plan.restarts.len()), (image, 3));
    let since = Instant::now();
    traffic.disturb(&PODS);
    world.kubectl(&["annotate", "mq/orders", "--overwrite", &format!("ferrymq.io/approved-plan={}", plan.id)]);
    world.condition::<MessageQueue>("orders", "UpdateComplete", ("True", "AllUpdated"), READY).await;
    world.condition::<MessageQueue>("orders", "Ready", ("True", "AllServing"), READY).await;
    let took = since.elapsed().as_secs_f64();
    for (publisher, pause) in traffic.pauses(since) {
        let pause = pause.as_millis();
        println!(
            "measured: three brokers to {to} in {took:.1} s: longest pause of the publisher at {publisher}: {pause} ms"
        );
    }
    assert_eq!(images(world).await, [image.to_owned()]);
    let is_present = image == self::image();
    let present = env!("CARGO_PKG_VERSION");
    let versions = world.cluster().await.status.and_then(|status| status.version);
    assert_eq!(versions.as_deref() == Some(present), is_present, "{versions:?}");
    world.healthy().await;
    traffic.find_brokers(world).await;
    traffic.whole();
    traffic.flowing(300, READY).await;
}

/// The previous build.
struct Previous {
    image: String,
    chart: String,
}

/// The build under test is installed again when this is dropped.
struct PresentAgain;

impl Drop for PresentAgain {
    fn drop(&mut self) {
        install(CHART, &image());
    }
}

impl Previous {
    fn from_environment() -> Option<Self> {
        let (Ok(image), Ok(charts)) = (env::var("FERRYMQ_PREVIOUS_IMAGE"), env::var("FERRYMQ_PREVIOUS_CHARTS")) else {
            println!("measured: the previous build: left out, as FERRYMQ_PREVIOUS_IMAGE does not say where it is");
            return None;
        };
        Some(Self { image, chart: format!("{charts}/ferrymq") })
    }

    fn installed(&self) -> PresentAgain {
        let present_again = PresentAgain;
        install(&self.chart, &self.image);
        present_again
    }
}

/// The images that brokers run, each once.
async fn images(world: &World) -> Vec<String> {
    let pods = world.pods().await;
    let images = pods.into_iter().filter_map(|pod| pod.spec?.containers.into_iter().next()?.image);
    images.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}
