//! `/livez` and `/readyz`, and at a port of its own `/metrics`: one request a connection, bounded in size and time.

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

use crate::{
    error::OperatorError,
    metrics::{CONTENT, Metrics},
};

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

/// What is said to a request.
struct Answer {
    status: &'static str,
    content: &'static str,
    body: String,
}

impl Answer {
    fn text(status: &'static str, body: &str) -> Self {
        Self { status, content: "text/plain", body: body.to_owned() }
    }
}

/// Serves the probes until it is dropped.
pub(crate) async fn serve(address: SocketAddr, readiness: Readiness) -> Result<(), OperatorError> {
    let answer = move |path: &str| match path {
        "/livez" => Answer::text("200 OK", "ok"),
        "/readyz" if readiness.get() => Answer::text("200 OK", "ok"),
        "/readyz" => Answer::text("503 Service Unavailable", "the API server was not reached yet"),
        _ => Answer::text("404 Not Found", "there are /livez and /readyz"),
    };
    serve_answers("probes", address, answer).await
}

/// Serves the metrics until it is dropped.
pub(crate) async fn serve_metrics(address: SocketAddr, metrics: Metrics) -> Result<(), OperatorError> {
    let answer = move |path: &str| match path {
        "/metrics" => match metrics.page() {
            Ok(body) => Answer { status: "200 OK", content: CONTENT, body },
            Err(reason) => Answer::text("500 Internal Server Error", &reason),
        },
        _ => Answer::text("404 Not Found", "there is /metrics"),
    };
    serve_answers("metrics", address, answer).await
}

async fn serve_answers(
    what: &'static str,
    address: SocketAddr,
    answer: impl Fn(&str) -> Answer + Clone + Send + 'static,
) -> Result<(), OperatorError> {
    let listener =
        TcpListener::bind(address).await.map_err(|source| OperatorError::Listen { what, address, source })?;
    let places = Arc::new(Semaphore::new(32));
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let answer = answer.clone();
        tokio::spawn(async move {
            // Who asks and does not wait for the answer has none.
            let _ = timeout(Duration::from_secs(2), say(socket, answer)).await;
            drop(place);
        });
    }
}

async fn say(mut socket: TcpStream, answer: impl Fn(&str) -> Answer) -> std::io::Result<()> {
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
    let Answer { status, content, body } = answer(request.split(' ').nth(1).unwrap_or_default());
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(answer.as_bytes()).await?;
    socket.shutdown().await
}
