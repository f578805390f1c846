//! Links to other brokers over TLS: docs/decisions/0013-tls-within-a-cluster.md.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ferrymq_broker::{Listener, Network, Stream, Tcp};
use ferrymq_tls::{AcceptError, ClusterSide, Reloaded, ServerName, begins_with_tls};
use tokio::{
    io::{AsyncRead, AsyncWrite, split},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout},
};

/// How long the other side may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Handshakes at a time.
const MAX_HANDSHAKES: usize = 256;
/// The same complaint is not told again for so long: who dials tries ten times a second.
const TELL_EVERY: Duration = Duration::from_secs(60);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Dials links over TLS.
pub(crate) struct SecureNetwork {
    pub(crate) side: Arc<Reloaded<ClusterSide>>,
    /// What the other broker's certificate must be for.
    pub(crate) name: ServerName<'static>,
    pub(crate) complaints: Arc<Complaints>,
}

impl Network for SecureNetwork {
    fn connect<'a>(&'a self, address: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>> {
        Box::pin(async move {
            let side = current(&self.side)?;
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            match side.dialler.connect(self.name.clone(), socket).await {
                Ok(socket) => Ok(stream(socket)),
                // A broker that knows no TLS takes the hello for something too long, and hangs up.
                Err(error) if side.accept_plain && is_hang_up(&error) => Tcp.connect(address).await,
                Err(error) => {
                    self.complaints.tell(&format!("no link over TLS to {address}: {error}"));
                    Err(error)
                }
            }
        })
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

/// Accepts links over TLS; and those without, where the files say so.
pub(crate) struct SecureListener {
    accepted: mpsc::Receiver<(Stream, String)>,
    _task: JoinSet<()>,
}

impl SecureListener {
    /// Accepts until it is dropped.
    pub(crate) fn new(listener: TcpListener, side: Arc<Reloaded<ClusterSide>>, complaints: Arc<Complaints>) -> Self {
        let (sender, accepted) = mpsc::channel(1);
        let mut task = JoinSet::new();
        task.spawn(accept_all(listener, side, complaints, sender));
        Self { accepted, _task: task }
    }
}

impl Listener for SecureListener {
    async fn accept(&mut self) -> io::Result<(Stream, String)> {
        match self.accepted.recv().await {
            Some(accepted) => Ok(accepted),
            // Whoever accepts goes on until this is dropped.
            None => std::future::pending().await,
        }
    }
}

async fn accept_all(
    listener: TcpListener,
    side: Arc<Reloaded<ClusterSide>>,
    complaints: Arc<Complaints>,
    sender: mpsc::Sender<(Stream, String)>,
) {
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = handshakes.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, address)) if handshakes.len() < MAX_HANDSHAKES => {
                    let (side, complaints, sender) = (side.clone(), complaints.clone(), sender.clone());
                    handshakes.spawn(async move {
                        match accept(socket, &side).await {
                            // Closed only when all is over.
                            Ok(stream) => drop(sender.send((stream, address.to_string())).await),
                            Err(error) => {
                                complaints.tell(&format!("a link from {} was refused: {error}", address.ip()));
                            }
                        }
                    });
                }
                Ok((_, address)) => complaints.tell(&format!("too many links begin; one from {} was refused", address.ip())),
                Err(error) => {
                    tracing::warn!(%error, "a link was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn accept(socket: TcpStream, side: &Reloaded<ClusterSide>) -> Result<Stream, AcceptError> {
    let side = current(side)?;
    socket.set_nodelay(true)?;
    if side.accept_plain {
        let tls = timeout(HANDSHAKE, begins_with_tls(&socket)).await;
        if !tls.map_err(|_| AcceptError::TimedOut(HANDSHAKE))?? {
            return Ok(Stream::try_from(socket)?);
        }
    }
    Ok(stream(ferrymq_tls::accept(&side.links, socket, HANDSHAKE).await?))
}

fn current(side: &Reloaded<ClusterSide>) -> io::Result<Arc<ClusterSide>> {
    side.current().ok_or_else(|| io::Error::other(side.problem().unwrap_or_else(|| "there is no certificate".into())))
}

fn stream(socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Stream {
    let (input, output) = split(socket);
    Stream { input: Box::new(input), output: Box::new(output) }
}

/// Tells what is wrong with links, each thing once a minute.
#[derive(Default)]
pub(crate) struct Complaints(Mutex<Vec<(String, Instant)>>);

impl Complaints {
    /// Different complaints that are remembered.
    const MOST: usize = 64;

    fn tell(&self, complaint: &str) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|(_, at)| at.elapsed() < TELL_EVERY);
        if told.len() < Self::MOST && !told.iter().any(|(before, _)| before == complaint) {
            told.push((complaint.to_owned(), Instant::now()));
            tracing::warn!("{complaint}");
        }
    }
}

#[cfg(test)]
mod tests;
