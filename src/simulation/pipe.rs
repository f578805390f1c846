//! One direction of a simulated connection.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use crate::network::{Shared, due};

/// Bytes that are under way at most; a writer waits beyond.
const MAX_BYTES: usize = 1 << 20;

/// One direction of a connection.
pub(crate) struct Pipe {
    from: u32,
    to: u32,
    under_way: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    /// The last of what is under way comes then.
    last: Instant,
    /// No more will be written.
    ended: bool,
    /// Nobody will read.
    unread: bool,
    /// What the reading end is told, and the writing one.
    read_error: Option<io::ErrorKind>,
    write_error: Option<io::ErrorKind>,
    /// Nothing comes out any more, and nobody is told.
    dark: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    pub(crate) fn new(from: u32, to: u32) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            from,
            to,
            under_way: VecDeque::new(),
            bytes: 0,
            last: Instant::now(),
            ended: false,
            unread: false,
            read_error: None,
            write_error: None,
            dark: false,
            reader: None,
            writer: None,
        }))
    }

    pub(crate) fn lock(pipe: &Mutex<Self>) -> MutexGuard<'_, Self> {
        pipe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_between(&self, one: u32, other: u32) -> bool {
        (self.from, self.to) == (one, other) || (self.from, self.to) == (other, one)
    }

    pub(crate) fn is_of(&self, ordinal: u32) -> bool {
        self.from == ordinal || self.to == ordinal
    }

    pub(crate) fn wake(&mut self) {
        [self.reader.take(), self.writer.take()].into_iter().flatten().for_each(Waker::wake);
    }

    /// The end there is told that the connection is lost.
    pub(crate) fn reset_at(&mut self, end: u32) {
        if self.from == end {
            self.write_error = Some(io::ErrorKind::ConnectionReset);
        } else {
            self.read_error = Some(io::ErrorKind::ConnectionReset);
        }
        self.wake();
    }

    pub(crate) fn go_dark(&mut self) {
        self.dark = true;
        self.under_way.clear();
    }

    /// Both ends are told that the connection is lost.
    pub(crate) fn refuse(&mut self) {
        self.read_error = Some(io::ErrorKind::ConnectionReset);
        self.write_error = Some(io::ErrorKind::ConnectionReset);
        self.wake();
    }
}

/// The end that reads.
pub(crate) struct Reader {
    pipe: Arc<Mutex<Pipe>>,
    shared: Arc<Shared>,
    /// Until the next bytes come.
    until: Option<Pin<Box<Sleep>>>,
}

impl Reader {
    pub(crate) fn new(pipe: Arc<Mutex<Pipe>>, shared: Arc<Shared>) -> Self {
        Self { pipe, shared, until: None }
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut pipe = Pipe::lock(&this.pipe);
        pipe.reader = Some(context.waker().clone());
        if let Some(error) = pipe.read_error {
            return Poll::Ready(Err(error.into()));
        }
        if pipe.dark || this.shared.is_cut_for(&pipe) {
            return Poll::Pending;
        }
        let due = match pipe.under_way.front() {
            Some((due, _)) => *due,
            None if pipe.ended => pipe.last,
            None => return Poll::Pending,
        };
        if due > Instant::now() {
            let until = this.until.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if until.deadline() != due {
                until.as_mut().reset(due);
            }
            if until.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
        let Some((_, bytes)) = pipe.under_way.front_mut() else { return Poll::Ready(Ok(())) };
        let count = bytes.len().min(buffer.remaining());
        buffer.put_slice(&bytes[..count]);
        let mut content = DefaultHasher::new();
        bytes[..count].hash(&mut content);
        bytes.advance(count);
        if bytes.is_empty() {
            pipe.under_way.pop_front();
        }
        pipe.bytes -= count;
        this.shared.story.note((pipe.from, pipe.to, content.finish()));
        if let Some(writer) = pipe.writer.take() {
            writer.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut pipe = Pipe::lock(&self.pipe);
        pipe.unread = true;
        pipe.wake();
    }
}

/// The end that writes.
pub(crate) struct Writer {
    pipe: Arc<Mutex<Pipe>>,
    shared: Arc<Shared>,
}

impl Writer {
    pub(crate) fn new(pipe: Arc<Mutex<Pipe>>, shared: Arc<Shared>) -> Self {
        Self { pipe, shared }
    }
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = Pipe::lock(&self.pipe);
        if let Some(error) = pipe.write_error {
            return Poll::Ready(Err(error.into()));
        }
        // That nobody reads is told by the other side, where anything of it comes through.
        if pipe.unread && !self.shared.is_cut(pipe.to, pipe.from) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if pipe.dark || pipe.unread {
            return Poll::Ready(Ok(bytes.len()));
        }
        if pipe.bytes >= MAX_BYTES {
            pipe.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let due = due(pipe.last, self.shared.latency(pipe.from, pipe.to));
        pipe.last = due;
        pipe.bytes += bytes.len();
        pipe.under_way.push_back((due, Bytes::copy_from_slice(bytes)));
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut pipe = Pipe::lock(&self.pipe);
        pipe.ended = true;
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
    }
}

impl Shared {
    /// Only what would come otherwise counts as held up.
    fn is_cut_for(&self, pipe: &Pipe) -> bool {
        (!pipe.under_way.is_empty() || pipe.ended) && self.is_cut(pipe.from, pipe.to)
    }
}
