//! Clients' connections.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ferrymq_amqp::Settings;
use ferrymq_broker::Node;
use ferrymq_tls::{AcceptError, ClientSide, Reloaded};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Connections of one listener at a time.
const MAX_CONNECTIONS: usize = 20_000;
/// How long clients may take to let go when the broker stops.
const FAREWELL: Duration = Duration::from_secs(3);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a listener needs that speaks TLS.
#[derive(Clone)]
pub(crate) struct Secured {
    /// Its name.
    pub(crate) listener: String,
    pub(crate) certificate: Arc<Reloaded<ClientSide>>,
}

/// The connections of a listener, counted.
#[derive(Debug, Default)]
pub(crate) struct ListenerCounts {
    pub(crate) name: String,
    open: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
}

impl ListenerCounts {
    pub(crate) fn of(name: &str) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), ..Self::default() })
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections that were accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections that were turned away.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Serves AMQP clients until told to stop.
pub(crate) async fn amqp(
    listener: TcpListener,
    tls: Option<Secured>,
    node: Node,
    settings: Arc<Settings>,
    counts: Arc<ListenerCounts>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let told = stop.clone();
    loop {
        counts.open.store(connections.len() as u64, Ordering::Relaxed);
        tokio::select! {
            // The sender goes only when all is over.
            () = async { let _ = stop.wait_for(|stop| *stop).await; } => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, address)) if connections.len() < MAX_CONNECTIONS => {
                    if let Err(error) = socket.set_nodelay(true) {
                        tracing::debug!(%address, %error, "a connection was gone at once");
                        continue;
                    }
                    counts.accepted.fetch_add(1, Ordering::Relaxed);
                    let (node, settings, told) = (node.clone(), settings.clone(), told.clone());
                    match tls.clone() {
                        None => connections.spawn(ferrymq_amqp::serve(node, socket, address, settings, told)),
                        Some(tls) => connections.spawn(secured(tls, node, socket, address, settings, told)),
                    };
                }
                Ok((_, address)) => {
                    counts.refused.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%address, "a client was turned away: {MAX_CONNECTIONS} are connected");
                }
                // Out of file handles, say: others may end meanwhile.
                Err(error) => {
                    tracing::warn!(%error, "a client could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let gone = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(FAREWELL, gone).await.is_err() {
        tracing::info!("some clients did not let go in time; their connections were cut");
    }
}

/// Serves one client over TLS. Its handshake has as much time as that of AMQP after it.
async fn secured(
    tls: Secured,
    node: Node,
    socket: TcpStream,
    address: SocketAddr,
    settings: Arc<Settings>,
    told: watch::Receiver<bool>,
) {
    let listener = &tls.listener;
    let Some(side) = tls.certificate.current() else {
        let reason = tls.certificate.problem().unwrap_or_default();
        tracing::warn!(%address, listener, reason, "a client was turned away: there is no certificate to serve it with");
        return;
    };
    let mut stop = told.clone();
    let accepted = tokio::select! {
        // The sender goes only when all is over.
        () = async { let _ = stop.wait_for(|stop| *stop).await; } => return,
        accepted = ferrymq_tls::accept(&side.acceptor, socket, settings.handshake_timeout) => accepted,
    };
    drop(side);
    match accepted {
        Ok(socket) => ferrymq_amqp::serve(node, socket, address, settings, told).await,
        Err(AcceptError::Plain) => tracing::warn!(
            %address, listener,
            "a client was not let in: it speaks no TLS, and this listener does; let it use an amqps:// URI, or a listener without TLS"
        ),
        Err(error) => tracing::info!(%address, listener, "a client was not let in: {error}"),
    }
}
