//! A client's socket, with what was read from it and what is to be written to it.

use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    time::Instant,
};

use crate::{
    codec::{self, Frame, FrameError},
    fault::Stop,
    output::{Output, SLICES},
};

/// The least and the most that is made room for before a read.
const LEAST_READ: usize = 4096;
const MOST_READ: usize = 256 * 1024;

/// Socket, input, output.
#[derive(Debug)]
pub(crate) struct Wire<T> {
    socket: T,
    input: BytesMut,
    /// How much to make room for: grows with a client that sends much, shrinks with one that does not.
    room: usize,
    pub(crate) output: Output,
    unflushed: bool,
    pub(crate) last_read: Instant,
    pub(crate) last_written: Instant,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire<T> {
    pub(crate) fn new(socket: T) -> Self {
        let now = Instant::now();
        Self {
            socket,
            input: BytesMut::new(),
            room: LEAST_READ,
            output: Output::default(),
            unflushed: false,
            last_read: now,
            last_written: now,
        }
    }

    /// The next frame, where it is there as a whole.
    pub(crate) fn next_frame(&mut self, frame_max: u32) -> Result<Option<Frame>, FrameError> {
        codec::take_frame(&mut self.input, frame_max)
    }

    /// What was read and not taken yet.
    pub(crate) fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Reads once. Nothing read is [`Stop::Gone`].
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        // A new buffer is made only when little is left of the old one: what was cut out of it may live on, and would
        // otherwise cost a whole buffer a message.
        if self.input.capacity() - self.input.len() < (self.room / 4).max(LEAST_READ / 2) {
            self.input.reserve(self.room.max(LEAST_READ));
        }
        let spare = self.input.capacity() - self.input.len();
        let count = ready!(pin!(self.socket.read_buf(&mut self.input)).poll(cx))?;
        if count == 0 {
            return Poll::Ready(Err(Stop::Gone));
        }
        if count == spare {
            self.room = (self.room * 2).min(MOST_READ);
        } else if count < self.room / 8 {
            self.room = (self.room / 2).max(LEAST_READ);
        }
        self.last_read = Instant::now();
        Poll::Ready(Ok(()))
    }

    /// Writes until nothing is left or the socket takes no more.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.output.slices(&mut slices);
            let socket = Pin::new(&mut self.socket);
            let written = match &slices[..count] {
                [one] => ready!(socket.poll_write(cx, one))?,
                many => ready!(socket.poll_write_vectored(cx, many))?,
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.written(written);
            self.unflushed = true;
            self.last_written = Instant::now();
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads more.
    pub(crate) async fn read(&mut self) -> Result<(), Stop> {
        poll_fn(|cx| self.poll_read(cx)).await
    }

    /// Writes all.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_write(cx)).await
    }

    /// The next frame, waited for.
    pub(crate) async fn read_frame(&mut self, frame_max: u32) -> Result<Frame, Stop> {
        loop {
            if let Some(frame) = self.next_frame(frame_max)? {
                return Ok(frame);
            }
            self.read().await?;
        }
    }

    /// Says that nothing more will be written.
    pub(crate) async fn shut_down(&mut self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut self.socket).poll_shutdown(cx)).await
    }
}
