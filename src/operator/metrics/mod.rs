//! The operator in figures, as the text of OpenMetrics.
//!
//! | file | what is in it |
//! |---|---|
//! | `calls.rs` | [`Calls`]: a layer of the client, which counts what is asked of the API server |
//! | `clusters.rs` | clusters as their statuses say, at each scrape |
//!
//! As many series as there are kinds, verbs and clusters: none of a `Topic` or a `User` alone.

mod calls;
mod clusters;

use std::{
    future::Future,
    sync::{Arc, OnceLock},
    time::Instant,
};

use ferrymq_api::{Backup, MessageQueue, Topic, User};
use kube::runtime::reflector::Store;
use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

pub(crate) use self::calls::Calls;
use self::clusters::Clusters;
use crate::error::ReconcileError;

/// Version 1.0.0 of OpenMetrics, which Prometheus and its kin read.
pub(crate) const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the buckets of reconciles, in seconds: one that changes nothing takes milliseconds, one that waits for
/// a broker or the API server seconds.
const RECONCILE_SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

type Labels<const N: usize> = [(&'static str, String); N];
type Durations = Family<Labels<1>, Histogram, fn() -> Histogram>;

/// What the operator counts. Cheap to clone; the same counts.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    reconciles: Family<Labels<2>, Counter>,
    durations: Durations,
    running: Family<Labels<1>, Gauge>,
    calls: Calls,
    leader: Gauge,
    clusters: Clusters,
}

/// What the watches of a scope know.
#[derive(Clone)]
pub(crate) struct Stores {
    pub(crate) clusters: Store<MessageQueue>,
    pub(crate) topics: Store<Topic>,
    pub(crate) users: Store<User>,
    pub(crate) backups: Store<Backup>,
}

impl Default for Metrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(RECONCILE_SECONDS);
        let mut metrics = Self {
            registry: Arc::default(),
            reconciles: Family::default(),
            durations: Family::new_with_constructor(histogram),
            running: Family::default(),
            calls: Calls::default(),
            leader: Gauge::default(),
            clusters: Clusters(Arc::new(OnceLock::new())),
        };
        metrics.registry = Arc::new(metrics.registered());
        metrics
    }
}

impl Metrics {
    fn registered(&self) -> Registry {
        let mut registry = Registry::with_prefix("ferrymq");
        let build = Family::<Labels<1>, Gauge>::default();
        build.get_or_create_owned(&[("version", env!("CARGO_PKG_VERSION").to_owned())]).set(1);
        registry.register("operator_build_info", "Always 1; the version that runs", build);
        registry.register("operator_leader", "1 while this operator is the one that acts", self.leader.clone());
        registry.register(
            "operator_reconciles",
            "Reconciles that ended, by kind and by how: done, conflict (somebody else had written meanwhile), error",
            self.reconciles.clone(),
        );
        registry.register_with_unit(
            "operator_reconcile_duration",
            "How long a reconcile took",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register("operator_reconciles_running", "Reconciles that are under way", self.running.clone());
        registry.register(
            "operator_api_requests",
            "What was asked of the API server, by verb and by the status of the answer; error where none came",
            self.calls.counts(),
        );
        registry.register_collector(Box::new(self.clusters.clone()));
        registry
    }

    /// The layer of the client that counts.
    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// This operator acts from now on, by what these watches know.
    pub(crate) fn lead(&self, stores: Vec<Stores>) {
        self.leader.set(1);
        // Only the first time: a process leads once.
        let _ = self.clusters.0.set(stores);
    }

    /// Carries out a reconcile, and counts it.
    pub(crate) async fn counted<T>(
        &self,
        kind: &'static str,
        reconcile: impl Future<Output = Result<T, ReconcileError>>,
    ) -> Result<T, ReconcileError> {
        let began = Instant::now();
        let running = self.running.get_or_create_owned(&[("kind", kind.to_owned())]);
        running.inc();
        let outcome = reconcile.await;
        running.dec();
        let result = match &outcome {
            Ok(_) => "done",
            Err(error) if error.is_conflict() => "conflict",
            Err(_) => "error",
        };
        self.reconciles.get_or_create_owned(&[("kind", kind.to_owned()), ("result", result.to_owned())]).inc();
        self.durations.get_or_create_owned(&[("kind", kind.to_owned())]).observe(began.elapsed().as_secs_f64());
        outcome
    }

    /// All of it, as text.
    pub(crate) fn page(&self) -> Result<String, String> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry).map_err(|error| format!("the metrics were not written: {error}"))?;
        Ok(page)
    }
}

/// The page of an operator that has one of everything: what there is to see, for the reference.
///
/// # Errors
///
/// A sentence.
pub fn sample_metrics() -> Result<String, String> {
    let metrics = Metrics::default();
    let kind = || ("kind", "MessageQueue".to_owned());
    metrics.reconciles.get_or_create_owned(&[kind(), ("result", "done".to_owned())]);
    metrics.running.get_or_create_owned(&[kind()]);
    metrics.durations.get_or_create_owned(&[kind()]);
    metrics.calls.count("get", "200");
    metrics.lead(vec![clusters::sample()]);
    metrics.page()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reconciles_are_counted_by_how_they_end() {
        let metrics = Metrics::default();
        metrics.counted("Topic", async { Ok(()) }).await.unwrap();
        let refused = metrics
            .counted("Topic", async {
                let source = serde_json::from_str::<u8>("x").unwrap_err();
                Err::<(), _>(ReconcileError::Serialize { what: "it".to_owned(), source })
            })
            .await;
        assert!(refused.is_err());
        let page = metrics.page().unwrap();
        for line in [
            "ferrymq_operator_leader 0",
            "ferrymq_operator_reconciles_total{kind=\"Topic\",result=\"done\"} 1",
            "ferrymq_operator_reconciles_total{kind=\"Topic\",result=\"error\"} 1",
            "ferrymq_operator_reconciles_running{kind=\"Topic\"} 0",
            "ferrymq_operator_reconcile_duration_seconds_count{kind=\"Topic\"} 2",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in {page}");
        }
    }
}
