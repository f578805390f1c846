//! Connections from other nodes.

use std::{io, sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};
use ferrymq_replication::task;
use tokio::{io::AsyncReadExt, sync::Semaphore, task::JoinSet, time::timeout};

use super::{
    Listener, Receive, Stream,
    connection::{Outgoing, write},
    frame::{self, Frame, Hello, Kind},
};

const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// A dialler pings more often than that; one that does not is gone.
const SILENCE: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 64 << 10;
const MAX_CONNECTIONS: usize = 1024;
/// Requests of one connection that are answered at a time.
const MAX_REQUESTS: usize = 1024;

/// Takes connections until it is dropped.
pub(crate) async fn listen<R: Receive>(mut listener: impl Listener, receiver: Arc<R>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, address)) if connections.len() < MAX_CONNECTIONS => {
                    let receiver = receiver.clone();
                    connections.spawn(task::bound(async move {
                        if let Err(error) = serve(socket, &receiver).await {
                            tracing::debug!(%address, %error, "a link ended");
                        }
                    }));
                }
                Ok((_, address)) => tracing::warn!(%address, "too many links; one more was refused"),
                // Out of file handles, say: others may end meanwhile.
                Err(error) => {
                    tracing::warn!(%error, "a link was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
}

async fn serve<R: Receive>(socket: Stream, receiver: &Arc<R>) -> io::Result<()> {
    let Stream { mut input, mut output } = socket;
    let hello = timeout(HELLO_TIMEOUT, frame::read_hello(&mut input)).await??;
    let answer = receiver.greet(&hello);
    frame::write_hello(&mut output, &answer).await?;
    if let Err(reason) = answer {
        return Err(io::Error::other(reason));
    }
    let (out, waiting) = Outgoing::new();
    tokio::select! {
        biased;
        written = write(output, waiting) => written,
        read = read(input, out, Arc::new(hello), receiver) => read,
    }
}

async fn read<R: Receive>(
    mut input: impl AsyncReadExt + Unpin,
    out: Outgoing,
    hello: Arc<Hello>,
    receiver: &Arc<R>,
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    let limit = Arc::new(Semaphore::new(MAX_REQUESTS));
    let mut requests = JoinSet::new();
    loop {
        while let Some(frame) = frame::take(&mut buffer)? {
            match frame.kind {
                Kind::Ping => {
                    out.send(Kind::Pong, 0, frame.content);
                }
                Kind::Tell => receiver.tell(&hello, frame.content),
                Kind::Raft | Kind::Call => {
                    let permit = limit.clone().acquire_owned().await.map_err(io::Error::other)?;
                    let (receiver, out, hello) = (receiver.clone(), out.clone(), hello.clone());
                    requests.spawn(task::bound(async move {
                        answer(frame, &hello, &*receiver, &out).await;
                        drop(permit);
                    }));
                }
                _ => {}
            }
        }
        while requests.try_join_next().is_some() {}
        buffer.reserve(READ_BYTES);
        if timeout(SILENCE, input.read_buf(&mut buffer)).await?? == 0 {
            return Ok(());
        }
    }
}

async fn answer<R: Receive>(mut frame: Frame, hello: &Hello, receiver: &R, out: &Outgoing) {
    let answer = match frame.kind {
        Kind::Raft => match frame.content.try_get_u32_le() {
            Ok(group) => receiver.raft(group, frame.content).await,
            Err(error) => Err(error.to_string()),
        },
        _ => receiver.call(hello, frame.content).await,
    };
    match answer {
        Ok(content) => out.send(Kind::Answer, frame.number, content),
        Err(reason) => out.send(Kind::Refusal, frame.number, reason.into()),
    };
}
