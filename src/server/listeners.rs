//! Clients' connections.

use std::{sync::Arc, time::Duration};

use ferrymq_amqp::Settings;
use ferrymq_broker::Node;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

/// Connections of one listener at a time.
const MAX_CONNECTIONS: usize = 20_000;
/// How long clients may take to let go when the broker stops.
const FAREWELL: Duration = Duration::from_secs(3);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves AMQP clients until told to stop.
pub(crate) async fn amqp(listener: TcpListener, node: Node, settings: Arc<Settings>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let told = stop.clone();
    loop {
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
                    connections.spawn(ferrymq_amqp::serve(node.clone(), socket, address, settings.clone(), told.clone()));
                }
                Ok((_, address)) => tracing::warn!(%address, "a client was turned away: {MAX_CONNECTIONS} are connected"),
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
