//! The operator, installed by its chart: once for all stories.

use std::env;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;

use crate::command::{kubectl, try_helm, try_kubectl};
use crate::world::{READY, World, until};

/// Where the operator lives.
pub(crate) const NAMESPACE: &str = "ferrymq-system";

/// The chart under test.
pub(crate) const CHART: &str = "charts/ferrymq";

/// The image under test.
pub(crate) fn image() -> String {
    env::var("FERRYMQ_IMAGE").expect("FERRYMQ_IMAGE names the image: run these by `cargo xtask test kubernetes`")
}

/// When it is pulled: one that was put onto the nodes cannot be.
pub(crate) fn pull_policy() -> &'static str {
    if crate::faults::possible() { "Never" } else { "IfNotPresent" }
}

/// So many operators, and no others. One again when this is dropped.
pub(crate) async fn operators(world: &World, replicas: usize) -> OneAgain {
    scale_operators(replicas);
    let one_again = OneAgain;
    until("the operators that are wanted", READY, async || (operator(world).await.len() == replicas).then_some(()))
        .await;
    one_again
}

pub(crate) struct OneAgain;

impl Drop for OneAgain {
    fn drop(&mut self) {
        scale_operators(1);
    }
}

fn scale_operators(replicas: usize) {
    let replicas = format!("--replicas={replicas}");
    kubectl(&["scale", "deployment", "ferrymq-operator", "--namespace", NAMESPACE, &replicas]);
}

/// The pods of the operator.
pub(crate) async fn operator(world: &World) -> Vec<Pod> {
    let selected = ListParams::default().labels("app.kubernetes.io/name=ferrymq-operator");
    let pods = Api::<Pod>::namespaced(world.client.clone(), NAMESPACE).list(&selected).await;
    pods.expect("the operator's pods can be listed").items
}

/// Installs the operator where it is not there yet in the version under test; how long that took.
pub(crate) fn installed() -> Duration {
    static TOOK: OnceLock<Duration> = OnceLock::new();
    *TOOK.get_or_init(|| {
        clear_away();
        let started = Instant::now();
        install(CHART, &image());
        kubectl(&["wait", "--for=condition=Established", "crd", "messagequeues.ferrymq.io", "topics.ferrymq.io"]);
        started.elapsed()
    })
}

/// `helm upgrade --install`: the operator of this chart and image, in place of the one that is there.
pub(crate) fn install(chart: &str, image: &str) {
    let (repository, tag) = image.rsplit_once(':').expect("an image has a tag");
    let policy = pull_policy();
    let installing = try_helm(&[
        "upgrade",
        "--install",
        "ferrymq",
        chart,
        "--namespace",
        NAMESPACE,
        "--create-namespace",
        "--set",
        &format!("image.repository={repository},image.tag={tag},image.pullPolicy={policy}"),
        "--wait",
        "--timeout",
        "60s",
    ]);
    if let Err(complaint) = installing {
        panic!("the operator cannot be installed: {complaint}\n{}", why());
    }
}

/// What Kubernetes says of the operator and of its nodes: the run that fails is often not here to be looked at.
fn why() -> String {
    let nodes = try_kubectl(&["describe", "nodes"]);
    let operator = try_kubectl(&["describe", "pods", "--namespace", NAMESPACE]);
    let told = try_kubectl(&["logs", "--namespace", NAMESPACE, "deployment/ferrymq-operator", "--tail=50"]);
    [nodes, operator, told].map(|said| said.unwrap_or_else(|complaint| complaint)).join("\n")
}

/// What an interrupted run left.
fn clear_away() {
    kubectl(&["delete", "namespace", "--selector", "ferrymq.io/story", "--wait=false", "--ignore-not-found"]);
}
