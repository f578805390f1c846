//! Connections to one other node, kept up.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use ferrymq_replication::{Lane, NodeId, TransportError, task};
use tokio::{
    io::AsyncReadExt,
    task::JoinSet,
    time::{Instant, interval, timeout},
};

use super::{
    Network, Receive, Stream,
    connection::{Asked, Outgoing, write},
    frame::{self, Hello, Kind},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A node that is not there is tried again this often.
const RETRY: Duration = Duration::from_millis(100);
const PING: Duration = Duration::from_millis(500);
/// A connection on which nothing came for so long is given up.
const SILENCE: Duration = Duration::from_secs(3);
const READ_BYTES: usize = 64 << 10;
const LANES: usize = 3;
const WORK: usize = 2;

struct Open {
    out: Outgoing,
    asked: Arc<Asked>,
}

type Slot = Arc<Mutex<Option<Open>>>;

/// The links to one other node.
pub(crate) struct Peer {
    node: NodeId,
    address: String,
    lanes: [Slot; LANES],
    /// Ends the connections when this is dropped.
    _tasks: JoinSet<()>,
}

impl Peer {
    /// Links to a node, which are dialled until this is dropped.
    pub(crate) fn dial<R: Receive>(
        network: &Arc<dyn Network>,
        node: NodeId,
        address: String,
        hello: Hello,
        receiver: &Arc<R>,
    ) -> Self {
        let lanes: [Slot; LANES] = Default::default();
        let mut tasks = JoinSet::new();
        for (number, slot) in lanes.iter().enumerate() {
            let hello = Hello { wanted: node, ..hello.clone() };
            let receiver = (number == WORK).then(|| receiver.clone());
            let network = network.clone();
            tasks.spawn(task::bound(keep_up(network, node, address.clone(), hello, slot.clone(), receiver)));
        }
        Self { node, address, lanes, _tasks: tasks }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn is_reachable(&self) -> bool {
        self.lanes[WORK].lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(crate) async fn raft(
        &self,
        lane: Lane,
        group: u32,
        request: Bytes,
        limit: Duration,
    ) -> Result<Bytes, TransportError> {
        let lane = match lane {
            Lane::Control => 0,
            Lane::Bulk => 1,
        };
        self.ask(lane, limit, |out, number| out.send_to(group, number, request)).await
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn call(&self, request: Bytes, limit: Duration) -> Result<Bytes, TransportError> {
        self.ask(WORK, limit, |out, number| out.send(Kind::Call, number, request)).await
    }

    /// Tells; it may be lost where the connection is. What is told arrives in order.
    pub(crate) fn tell(&self, message: Bytes) {
        if let Some(open) = &*self.lanes[WORK].lock().unwrap_or_else(PoisonError::into_inner) {
            open.out.send(Kind::Tell, 0, message);
        }
    }

    async fn ask(
        &self,
        lane: usize,
        limit: Duration,
        send: impl FnOnce(&Outgoing, u64) -> bool,
    ) -> Result<Bytes, TransportError> {
        let unreachable = || TransportError::Unreachable { node: self.node, reason: "it is not connected".into() };
        let answer = {
            let slot = self.lanes[lane].lock().unwrap_or_else(PoisonError::into_inner);
            let open = slot.as_ref().ok_or_else(unreachable)?;
            let (number, answer) = open.asked.ask();
            if !send(&open.out, number) {
                return Err(unreachable());
            }
            answer
        };
        let failed = |reason| TransportError::Failed { node: self.node, reason };
        match timeout(limit, answer.wait()).await {
            Ok(answer) => answer.map_err(failed),
            Err(_) => Err(failed(format!("nothing came within {limit:?}"))),
        }
    }
}

async fn keep_up<R: Receive>(
    network: Arc<dyn Network>,
    node: NodeId,
    address: String,
    hello: Hello,
    slot: Slot,
    receiver: Option<Arc<R>>,
) {
    let mut told = String::new();
    loop {
        let error = match connect(&*network, &address, &hello).await {
            Ok(socket) => {
                told.clear();
                serve(node, socket, &slot, receiver.as_deref()).await
            }
            Err(error) => error,
        };
        let reason = error.to_string();
        if reason != told {
            tracing::debug!(node, address, reason, "no link");
            told = reason;
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn connect(network: &dyn Network, address: &str, hello: &Hello) -> io::Result<Stream> {
    let open = async {
        let mut socket = network.connect(address).await?;
        frame::write_hello(&mut socket.output, &Ok(hello.clone())).await?;
        let theirs = frame::read_hello(&mut socket.input).await?;
        if hello.wanted != 0 && theirs.node != hello.wanted {
            let reason = format!("{address} is node {}, and not node {}", theirs.node, hello.wanted);
            return Err(io::Error::other(reason));
        }
        Ok(socket)
    };
    timeout(CONNECT_TIMEOUT, open).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn serve<R: Receive>(node: NodeId, socket: Stream, slot: &Slot, receiver: Option<&R>) -> io::Error {
    let Stream { mut input, output } = socket;
    let (out, waiting) = Outgoing::new();
    let asked = Arc::new(Asked::default());
    let put = |open| *slot.lock().unwrap_or_else(PoisonError::into_inner) = open;
    put(Some(Open { out: out.clone(), asked: asked.clone() }));
    if let Some(receiver) = receiver {
        receiver.reachable(node, true);
    }
    let error = tokio::select! {
        biased;
        written = write(output, waiting) => written.err().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()),
        error = read_answers(&mut input, &out, &asked) => error,
    };
    put(None);
    // Behind that: nobody asks over this connection any more.
    asked.lost();
    if let Some(receiver) = receiver {
        receiver.reachable(node, false);
    }
    error
}

async fn read_answers(input: &mut (impl AsyncReadExt + Unpin), out: &Outgoing, asked: &Asked) -> io::Error {
    let mut buffer = BytesMut::new();
    let mut ticks = interval(PING);
    let mut heard = Instant::now();
    loop {
        buffer.reserve(READ_BYTES);
        tokio::select! {
            biased;
            _ = ticks.tick() => {
                if heard.elapsed() > SILENCE || out.is_overfull() {
                    return io::ErrorKind::TimedOut.into();
                }
                out.send(Kind::Ping, 0, Bytes::new());
            }
            read = input.read_buf(&mut buffer) => match read {
                Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => heard = Instant::now(),
                Err(error) => return error,
            },
        }
        loop {
            match frame::take(&mut buffer) {
                Ok(Some(frame)) => match frame.kind {
                    Kind::Answer => asked.answer(frame.number, Ok(frame.content)),
                    Kind::Refusal => {
                        asked.answer(frame.number, Err(String::from_utf8_lossy(&frame.content).into_owned()));
                    }
                    _ => {}
                },
                Ok(None) => break,
                Err(error) => return error,
            }
        }
    }
}

/// Asks a node whose number is not known, over a connection of its own. Gives who answered, too.
///
/// # Errors
///
/// It is not there, refuses, or does not answer within two seconds.
pub(crate) async fn ask(network: &dyn Network, address: &str, hello: &Hello, request: Bytes) -> io::Result<Bytes> {
    let exchange = async {
        let socket = connect(network, address, hello).await?;
        let Stream { mut input, output } = socket;
        let (out, waiting) = Outgoing::new();
        let asked = Arc::new(Asked::default());
        let (number, answer) = asked.ask();
        out.send(Kind::Call, number, request);
        tokio::select! {
            biased;
            written = write(output, waiting) => Err(written.err().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())),
            error = read_answers(&mut input, &out, &asked) => Err(error),
            answer = answer.wait() => answer.map_err(io::Error::other),
        }
    };
    timeout(CONNECT_TIMEOUT * 5, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
