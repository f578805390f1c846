//! An open connection: frames out, answers in.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt, BufWriter},
    sync::{mpsc, oneshot},
};

use super::frame::{self, Kind};

/// Bytes that may wait to go out. A connection that is slower than that is given up, and made anew.
const MAX_WAITING_BYTES: usize = 256 << 20;

/// The way out of a connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct Outgoing {
    frames: mpsc::UnboundedSender<(Bytes, Bytes)>,
    waiting: Arc<AtomicUsize>,
}

impl Outgoing {
    /// The way out, and what [`fn@write`] takes from it.
    pub(super) fn new() -> (Self, Waiting) {
        let (frames, queue) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        (Self { frames, waiting: waiting.clone() }, Waiting { queue, bytes: waiting })
    }

    /// Puts a frame on its way; gives whether the connection still takes any.
    pub(super) fn send(&self, kind: Kind, number: u64, content: Bytes) -> bool {
        self.put(frame::head(kind, number, &[], content.len()), content)
    }

    /// Puts a request to a group's replica on its way, as [`Outgoing::send`] does.
    pub(super) fn send_to(&self, group: u32, number: u64, request: Bytes) -> bool {
        self.put(frame::head(Kind::Raft, number, &group.to_le_bytes(), request.len()), request)
    }

    fn put(&self, head: Bytes, content: Bytes) -> bool {
        let before = self.waiting.fetch_add(content.len(), Ordering::Relaxed);
        before < MAX_WAITING_BYTES && self.frames.send((head, content)).is_ok()
    }

    pub(super) fn is_overfull(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= MAX_WAITING_BYTES
    }
}

/// Frames that wait to go out.
pub(super) struct Waiting {
    queue: mpsc::UnboundedReceiver<(Bytes, Bytes)>,
    bytes: Arc<AtomicUsize>,
}

/// Writes what waits until the other end is gone; many small frames go out together.
pub(super) async fn write(socket: impl AsyncWrite + Unpin, mut waiting: Waiting) -> io::Result<()> {
    let mut socket = BufWriter::with_capacity(128 << 10, socket);
    while let Some(next) = waiting.queue.recv().await {
        let mut next = Some(next);
        while let Some((head, content)) = next {
            socket.write_all(&head).await?;
            socket.write_all(&content).await?;
            waiting.bytes.fetch_sub(content.len(), Ordering::Relaxed);
            next = waiting.queue.try_recv().ok();
        }
        socket.flush().await?;
    }
    Ok(())
}

/// Requests that wait for their answers.
#[derive(Default)]
pub(super) struct Asked {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Result<Bytes, String>>>>,
}

impl Asked {
    /// A number for a new request, and where its answer will be.
    pub(super) fn ask(self: &Arc<Self>) -> (u64, Answer) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (tell, answer) = oneshot::channel();
        self.lock().insert(number, tell);
        (number, Answer { number, answer, asked: self.clone() })
    }

    pub(super) fn answer(&self, number: u64, answer: Result<Bytes, String>) {
        if let Some(tell) = self.lock().remove(&number) {
            // Whoever asked may have given up.
            let _ = tell.send(answer);
        }
    }

    /// The connection is lost: no answer comes over it any more, and whoever waits for one is told.
    pub(super) fn lost(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Result<Bytes, String>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer to come. Dropped, it is not waited for any more.
pub(super) struct Answer {
    number: u64,
    answer: oneshot::Receiver<Result<Bytes, String>>,
    asked: Arc<Asked>,
}

impl Answer {
    pub(super) async fn wait(mut self) -> Result<Bytes, String> {
        (&mut self.answer).await.unwrap_or_else(|_| Err("the connection was lost".into()))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.asked.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_for_an_answer_is_told_that_the_connection_is_lost() {
        let asked = Arc::new(Asked::default());
        let (number, answered) = asked.ask();
        let (_, lost) = asked.ask();
        asked.answer(number, Ok(Bytes::from("here")));
        asked.lost();
        assert_eq!(answered.wait().await, Ok(Bytes::from("here")));
        assert_eq!(lost.wait().await, Err("the connection was lost".into()));
    }
}
