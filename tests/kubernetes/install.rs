//! The operator, installed by its chart: once for all stories.

use std::env;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::command::{helm, kubectl};

/// Where the operator lives.
pub(crate) const NAMESPACE: &str = "ferrymq-system";

/// The image under test.
pub(crate) fn image() -> String {
    env::var("FERRYMQ_IMAGE").expect("FERRYMQ_IMAGE names the image: run these by `cargo xtask test kubernetes`")
}

/// Installs the operator where it is not there yet in the version under test; how long that took.
pub(crate) fn installed() -> Duration {
    static TOOK: OnceLock<Duration> = OnceLock::new();
    *TOOK.get_or_init(|| {
        clear_away();
        let image = image();
        let (repository, tag) = image.rsplit_once(':').expect("FERRYMQ_IMAGE has a tag");
        // An image that was put onto the nodes cannot be pulled.
        let policy = if crate::faults::possible() { "Never" } else { "IfNotPresent" };
        let started = Instant::now();
        helm(&[
            "upgrade",
            "--install",
            "ferrymq",
            "charts/ferrymq",
            "--namespace",
            NAMESPACE,
            "--create-namespace",
            "--set",
            &format!("image.repository={repository},image.tag={tag},image.pullPolicy={policy}"),
            "--wait",
            "--timeout",
            "60s",
        ]);
        kubectl(&["wait", "--for=condition=Established", "crd", "messagequeues.ferrymq.io", "topics.ferrymq.io"]);
        started.elapsed()
    })
}

/// What an interrupted run left.
fn clear_away() {
    kubectl(&["delete", "namespace", "--selector", "ferrymq.io/story", "--wait=false", "--ignore-not-found"]);
}
