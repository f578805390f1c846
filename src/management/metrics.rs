//! `/metrics`: a node in figures, for Prometheus and whoever else reads its text.
//!
//! It has a port of its own, without a token and without TLS, as monitoring expects it: nothing can be changed there, and
//! what it says is no secret but for the names of queues, which only `/metrics/per-object` has.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Query, State},
    http::header::CONTENT_TYPE,
    middleware::from_fn,
    response::{IntoResponse, Response},
    routing::get,
};
use ferrymq_admin_api::Reason;
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::{guard, refused::Refused, router::not_served};

/// Where the figures of a node as a whole are: as many of them whatever it holds.
pub const METRICS: &str = "/metrics";

/// Where those of its queues and shards are, one by one. `?prefix=orders.` asks only for queues whose names begin so.
pub const METRICS_PER_OBJECT: &str = "/metrics/per-object";

/// Version 1.0.0 of OpenMetrics, which Prometheus and its kin read.
const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A node that says of itself how it is, in the text of OpenMetrics. Cheap to clone. Both may block for some milliseconds.
pub trait MetricsPort: Clone + Send + Sync + 'static {
    /// Of the node as a whole.
    ///
    /// # Errors
    ///
    /// A sentence.
    fn totals(&self) -> Result<String, String>;

    /// Of its shards, and of its queues whose names begin with a prefix, up to a limit.
    ///
    /// # Errors
    ///
    /// A sentence.
    fn per_object(&self, prefix: &str) -> Result<String, String>;
}

/// How many pages are written at a time; whoever else asks waits.
const AT_A_TIME: usize = 2;

/// The node, and whose turn it is.
#[derive(Clone)]
struct Served<M> {
    port: M,
    turns: Arc<Semaphore>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    prefix: String,
}

/// The metrics of this node.
pub(crate) fn router<M: MetricsPort>(port: M) -> Router {
    Router::new()
        .route(METRICS, get(totals::<M>))
        .route(METRICS_PER_OBJECT, get(per_object::<M>))
        .method_not_allowed_fallback(not_served)
        .fallback(not_served)
        .layer(DefaultBodyLimit::max(0))
        .layer(from_fn(guard::limit_time))
        .with_state(Served { port, turns: Arc::new(Semaphore::new(AT_A_TIME)) })
}

async fn totals<M: MetricsPort>(State(served): State<Served<M>>) -> Response {
    served.written(M::totals).await
}

async fn per_object<M: MetricsPort>(
    State(served): State<Served<M>>,
    Query(Wanted { prefix }): Query<Wanted>,
) -> Response {
    served.written(move |port| port.per_object(&prefix)).await
}

impl<M: MetricsPort> Served<M> {
    async fn written(self, write: impl FnOnce(&M) -> Result<String, String> + Send + 'static) -> Response {
        let Self { port, turns } = self;
        // Never closed.
        let turn = turns.acquire_owned().await;
        let written = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            write(&port)
        });
        answer(written.await)
    }
}

fn answer(written: Result<Result<String, String>, tokio::task::JoinError>) -> Response {
    match written {
        Ok(Ok(text)) => ([(CONTENT_TYPE, CONTENT)], text).into_response(),
        Ok(Err(reason)) => Refused::new(Reason::Unavailable, reason).into_response(),
        Err(error) => {
            Refused::new(Reason::Unavailable, format!("the metrics were not written: {error}")).into_response()
        }
    }
}
