//! Connections, their bounds, and the stop.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use ferrymq_admin_api::AdminPort;
use ferrymq_tls::{ClusterSide, Reloaded};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use crate::{
    connections::Connections,
    metrics::{self, MetricsPort},
    router::router,
    token::Token,
};

/// The longest that a client may take to send the head of a request, and that a connection may be idle.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

/// The longest that a TLS handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// The most bytes that are read of the head of a request.
const HEAD_BYTES: usize = 32 * 1024;

/// The most header lines of a request.
const MOST_HEADERS: usize = 64;

/// The longest that one connection lives, so that a client that never reads its answers cannot stay.
const CONNECTION_LIMIT: Duration = Duration::from_secs(15 * 60);

/// The longest that requests under way are waited for when the node stops.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// How long no connection is accepted after one could not be: the process is out of files, and must not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the admin API of this node, over TLS where there is a certificate, until `shutdown` is done; then lets requests
/// that are under way finish, for two seconds at most.
pub async fn serve<P: AdminPort>(
    listener: TcpListener,
    tls: Option<Arc<Reloaded<ClusterSide>>>,
    port: P,
    token: Token,
    shutdown: impl Future<Output = ()> + Send,
) {
    accept(listener, tls, router(port, token), shutdown).await;
}

/// Serves the metrics of this node, without TLS, until `shutdown` is done, to whoever asks.
pub async fn serve_metrics<M: MetricsPort>(listener: TcpListener, port: M, shutdown: impl Future<Output = ()> + Send) {
    accept(listener, None, metrics::router(port), shutdown).await;
}

async fn accept(
    listener: TcpListener,
    tls: Option<Arc<Reloaded<ClusterSide>>>,
    app: Router,
    shutdown: impl Future<Output = ()> + Send,
) {
    let open = Connections::default();
    let (stop, stopping) = watch::channel(());
    let mut tasks = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = tasks.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => match open.admit(address.ip()) {
                    Some(place) => {
                        let (app, stopping, tls) = (app.clone(), stopping.clone(), tls.clone());
                        tasks.spawn(async move {
                            let _place = place;
                            match tls {
                                None => connection(stream, app, stopping).await,
                                Some(tls) => secured(stream, &tls, app, stopping).await,
                            }
                        });
                    }
                    None => tracing::warn!(%address, "an HTTP connection was closed: too many are open"),
                },
                Err(error) => {
                    tracing::warn!(%error, "an HTTP connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    drop(stop);
    let finished = async { while tasks.join_next().await.is_some() {} };
    if timeout(STOP_LIMIT, finished).await.is_err() {
        tracing::warn!("HTTP requests were still under way when the node stopped; they were cut off");
    }
}

/// Serves one connection over TLS.
async fn secured(stream: TcpStream, tls: &Reloaded<ClusterSide>, app: Router, mut stopping: watch::Receiver<()>) {
    let Some(side) = tls.current() else {
        tracing::warn!(problem = tls.problem(), "an admin connection was closed: there is no certificate");
        return;
    };
    let accepted = tokio::select! {
        // Dropped when the node stops.
        _ = stopping.changed() => return,
        accepted = ferrymq_tls::accept(&side.admin, stream, HANDSHAKE_LIMIT) => accepted,
    };
    match accepted {
        Ok(stream) => connection(stream, app, stopping).await,
        Err(error) => tracing::debug!(%error, "an admin connection ended"),
    }
}

/// Serves one connection until it is closed, too old, or the node stops.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    app: Router,
    mut stopping: watch::Receiver<()>,
) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_BYTES)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = old_or_stopping(&mut stopping) => {
            served.as_mut().graceful_shutdown();
            match timeout(crate::REQUEST_LIMIT, served).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended");
    }
}

async fn old_or_stopping(stopping: &mut watch::Receiver<()>) {
    // Nothing is ever sent: the sender is dropped when the node stops, and that ends the wait.
    let _ = timeout(CONNECTION_LIMIT, stopping.changed()).await;
}
