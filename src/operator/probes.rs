//! `/livez` and `/readyz`: one request a connection, bounded in size and time.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

use crate::error::OperatorError;

/// Whether the operator is ready: it reaches the API server, or waits for the lease of another.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Serves the probes until it is dropped.
pub(crate) async fn serve(address: SocketAddr, readiness: Readiness) -> Result<(), OperatorError> {
    let listener = TcpListener::bind(address).await.map_err(|source| OperatorError::Probes { address, source })?;
    let places = Arc::new(Semaphore::new(32));
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let readiness = readiness.clone();
        tokio::spawn(async move {
            // Who asks and does not wait for the answer has none.
            let _ = timeout(Duration::from_secs(2), answer(socket, readiness)).await;
            drop(place);
        });
    }
}

async fn answer(mut socket: TcpStream, readiness: Readiness) -> std::io::Result<()> {
    let mut request = [0; 2_048];
    let mut read = 0;
    while read < request.len() && !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let Some(rest) = request.get_mut(read..) else { break };
        match socket.read(rest).await? {
            0 => break,
            count => read += count,
        }
    }
    let request = String::from_utf8_lossy(request.get(..read).unwrap_or_default()).into_owned();
    let (status, body) = match request.split(' ').nth(1) {
        Some("/livez") => ("200 OK", "ok"),
        Some("/readyz") if readiness.get() => ("200 OK", "ok"),
        Some("/readyz") => ("503 Service Unavailable", "the API server was not reached yet"),
        _ => ("404 Not Found", "there are /livez and /readyz"),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(answer.as_bytes()).await?;
    socket.shutdown().await
}
