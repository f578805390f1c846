//! The operator is gone, is killed wherever it is, or is there twice: clients notice nothing, and what was begun is brought
//! to its end.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ferrymq_api::MessageQueue;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt as _};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::faults;
use crate::install::{self, NAMESPACE, operators};
use crate::traffic::Traffic;
use crate::world::{READY, THREE_BROKERS, TOPIC, World, claim, until};

/// How long anything may take while the operator is killed again and again.
const SLOWLY: Duration = Duration::from_secs(180);

/// How long an operator lives: not long enough for any act, in the end long enough for each of its steps.
const LIVES: [u64; 8] = [350, 900, 500, 1500, 250, 700, 2500, 400];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn an_operator_that_is_killed_again_and_again_brings_everything_to_its_end() {
    let world = World::new("mortal").await;
    let _away = operators(&world, 0).await;
    let mortal = Mortal::begin(&world);

    let since = Instant::now();
    world.apply(&format!("{THREE_BROKERS}---{TOPIC}"));
    world.wait_ready("messagequeue/orders", SLOWLY);
    world.wait_ready("topic/jobs", SLOWLY);
    mortal.told("a cluster was formed", since);
    let mut traffic = Traffic::new(&world).await;
    for broker in ["orders-0", "orders-1"] {
        traffic.publish(broker, "jobs", broker);
    }
    traffic.consume("work", "orders-2");
    traffic.flowing(300, READY).await;

    let since = Instant::now();
    world.kubectl(&["scale", "mq/orders", "--replicas=4"]);
    world.condition::<MessageQueue>("orders", "ScaleComplete", ("True", "AllRunning"), SLOWLY).await;
    mortal.told("3 to 4 brokers", since);

    let since = Instant::now();
    traffic.disturb(&["orders-0", "orders-1", "orders-2", "orders-3"]);
    let turn = r#"{"spec":{"podTemplate":{"annotations":{"example.com/turn":"1"}},"storage":{"size":"2Gi"}}}"#;
    world.kubectl(&["patch", "mq/orders", "--type=merge", "-p", turn]);
    world.condition::<MessageQueue>("orders", "UpdateComplete", ("True", "AllUpdated"), SLOWLY).await;
    world.condition::<MessageQueue>("orders", "StorageReady", ("True", "VolumesBound"), SLOWLY).await;
    mortal.told("a roll, and volumes that grow", since);

    let since = Instant::now();
    world.kubectl(&["scale", "mq/orders", "--replicas=3"]);
    world.condition::<MessageQueue>("orders", "ScaleComplete", ("True", "AllRunning"), SLOWLY).await;
    world.kubectl(&["wait", "--for=delete", &format!("pvc/{}", claim("orders-3")), "--timeout=180s"]);
    mortal.told("4 to 3 brokers", since);
    mortal.end().await;

    world.healthy().await;
    traffic.find_brokers(&world).await;
    traffic.whole();
    traffic.flowing(200, READY).await;
    let report = traffic.settle().await;
    println!("measured: under an operator that was killed again and again: {report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn clients_do_without_an_operator_and_of_two_only_one_acts() {
    let world = World::with_cluster("operators").await;
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    let mut traffic = Traffic::new(&world).await;
    traffic.publish("orders-0", "jobs", "orders-0");
    traffic.consume("work", "orders-1");

    // None: brokers stand by each other.
    let away = operators(&world, 0).await;
    traffic.flowing(200, READY).await;
    traffic.disturb(&["orders-0", "orders-1", "orders-2"]);
    let uid = world.pod("orders-0").await.uid().expect("a pod has a uid");
    faults::force_delete(&world.namespace, &["orders-0"]);
    world.replaced("orders-0", &uid, READY).await;
    traffic.find_brokers(&world).await;
    traffic.flowing(200, READY).await;
    drop(away);

    // Two: the one that holds the lease is paused for longer than the lease is good for, and is somebody else's then.
    let _one_again = operators(&world, 2).await;
    let first = until("an operator to hold the lease", READY, async || holder(&world).await).await;
    let pod = install::operator(&world).await.into_iter().find(|pod| pod.name_any() == first);
    let pod = pod.expect("the holder is one of the operators");
    let since = Instant::now();
    let paused = faults::pause(&pod);
    let second = until("another operator to hold the lease", SLOWLY, async || {
        holder(&world).await.filter(|holder| *holder != first)
    })
    .await;
    println!("measured: another operator took over after {:.1} s", since.elapsed().as_secs_f64());
    world.kubectl(&["scale", "mq/orders", "--replicas=4"]);
    drop(paused);
    // It finds out before it does anything, and ends.
    until("the one that was paused to start again", READY, async || {
        let pods = install::operator(&world).await;
        let pod = pods.into_iter().find(|pod| pod.name_any() == first)?;
        let container = pod.status?.container_statuses?.into_iter().next()?;
        (container.restart_count > 0).then_some(())
    })
    .await;
    world.condition::<MessageQueue>("orders", "ScaleComplete", ("True", "AllRunning"), READY).await;
    assert_eq!(holder(&world).await, Some(second));

    world.healthy().await;
    traffic.whole();
    traffic.flowing(200, READY).await;
    let report = traffic.settle().await;
    println!("measured: without an operator, and with two: {report}");
}

async fn holder(world: &World) -> Option<String> {
    let leases = Api::<Lease>::namespaced(world.client.clone(), NAMESPACE);
    leases.get("ferrymq-operator").await.ok()?.spec?.holder_identity.filter(|holder| !holder.is_empty())
}

/// An operator that is killed wherever it is, and started again.
struct Mortal {
    killed: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Running>,
}

impl Mortal {
    fn begin(world: &World) -> Self {
        let (killed, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, stopping, namespace) = (Arc::clone(&killed), Arc::clone(&stop), world.namespace.clone());
        let task = tokio::spawn(async move {
            let mut running = Running::start(&namespace);
            for lives in LIVES.iter().cycle() {
                // When it is killed is the fault that is thrown here.
                sleep(Duration::from_millis(*lives)).await;
                if stopping.load(Ordering::Relaxed) {
                    break;
                }
                drop(running);
                count.fetch_add(1, Ordering::Relaxed);
                running = Running::start(&namespace);
            }
            running
        });
        Self { killed, stop, task }
    }

    fn told(&self, what: &str, since: Instant) {
        let killed = self.killed.swap(0, Ordering::Relaxed);
        let took = since.elapsed().as_secs_f64();
        println!("measured: {what} within {took:.1} s under an operator that was killed {killed} times");
    }

    /// The last one lives.
    async fn end(self) -> Running {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("it is started again each time")
    }
}

/// An operator of our own, for one namespace, or for several with commas between them. Killed when this is dropped.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(namespace: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_ferrymq"))
            .arg("operator")
            .env("FERRYMQ_BROKER_IMAGE", install::image())
            .env("FERRYMQ_BROKER_IMAGE_PULL_POLICY", install::pull_policy())
            .env("FERRYMQ_WATCH_NAMESPACES", namespace)
            .env("FERRYMQ_PROBE_ADDRESS", "127.0.0.1:0")
            .env("FERRYMQ_LOG", "warn")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("the operator can be started"))
    }

    /// Kills it, and starts another one.
    pub(crate) fn killed(self, namespace: &str) -> Self {
        drop(self);
        Self::start(namespace)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which the story notices.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
