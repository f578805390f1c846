//! A connection with one channel: the handshake, questions and answers, and the end.

use std::{io, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use ferrymq_amqp::codec::{
    self, ChannelCloseOk, ChannelOpen, ConnectionClose, ConnectionCloseOk, ConnectionOpen, ConnectionStartOk,
    ConnectionTune, ConnectionTuneOk, FrameKind, Method, PROTOCOL_HEADER, Table,
};
use tokio::{
    io::Interest,
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::{error::Broken, input::Input, uri::Uri};

/// The channel that all is done on.
pub(crate) const CHANNEL: u16 = 1;

/// What a frame is limited to, unless the broker wants less.
const FRAME_MAX: u32 = 131_072;
/// The longest interval of heartbeats: a broker that is cut off is noticed after two.
const HEARTBEAT_SECONDS: u16 = 10;
/// How long the handshake, or an answer, may take.
const ANSWER_SECONDS: u64 = 15;
/// How long to wait for nothing, where there are no heartbeats.
const NO_CHORES: Duration = Duration::from_secs(3600);
/// How long the broker may take to agree to the end of a connection.
const CLOSE: Duration = Duration::from_secs(5);

/// An open connection with an open channel.
#[derive(Debug)]
pub(crate) struct Link {
    /// Where it leads, without the password.
    pub(crate) name: String,
    socket: TcpStream,
    pub(crate) input: Input,
    /// What is to be written.
    pub(crate) output: BytesMut,
    pub(crate) frame_max: u32,
    heartbeat: Option<Duration>,
    /// When it is time for [`Self::chores`].
    pub(crate) chores_at: Instant,
    last_read: Instant,
    last_written: Instant,
}

impl Link {
    /// Connects, logs in, opens the channel.
    pub(crate) async fn connect(uri: &Uri) -> Result<Self, Broken> {
        timeout(Duration::from_secs(ANSWER_SECONDS), Self::connect_in_any_time(uri))
            .await
            .unwrap_or(Err(Broken::Late(ANSWER_SECONDS)))
    }

    async fn connect_in_any_time(uri: &Uri) -> Result<Self, Broken> {
        let socket = TcpStream::connect((uri.host.as_str(), uri.port)).await.map_err(Broken::Connect)?;
        socket.set_nodelay(true)?;
        let now = Instant::now();
        let mut link = Self {
            name: uri.to_string(),
            socket,
            input: Input::default(),
            output: BytesMut::new(),
            frame_max: FRAME_MAX,
            heartbeat: None,
            chores_at: now + NO_CHORES,
            last_read: now,
            last_written: now,
        };
        link.output.extend_from_slice(&PROTOCOL_HEADER);
        link.flush().await?;
        match link.answer().await? {
            Method::ConnectionStart(_) => {}
            other => return Err(Broken::Unexpected(other.name())),
        }
        let tune = match link.ask_on(0, start_ok(uri)).await? {
            Method::ConnectionTune(tune) => tune,
            other => return Err(Broken::Unexpected(other.name())),
        };
        let tune_ok = agree(&tune);
        link.frame_max = tune_ok.frame_max;
        link.beat(tune_ok.heartbeat);
        link.put(0, tune_ok);
        let open = ConnectionOpen { virtual_host: uri.virtual_host.as_str().into(), ..Default::default() };
        match link.ask_on(0, open).await? {
            Method::ConnectionOpenOk(_) => {}
            other => return Err(Broken::Unexpected(other.name())),
        }
        match link.ask(ChannelOpen::default()).await? {
            Method::ChannelOpenOk(_) => Ok(link),
            other => Err(Broken::Unexpected(other.name())),
        }
    }

    fn beat(&mut self, seconds: u16) {
        if seconds > 0 {
            let every = Duration::from_secs(seconds.into());
            self.heartbeat = Some(every);
            self.chores_at = Instant::now() + every / 2;
        }
    }

    /// Puts a method behind what is to be written.
    pub(crate) fn put(&mut self, channel: u16, method: impl Into<Method>) {
        codec::put_method(&mut self.output, channel, &method.into());
    }

    /// Asks on the channel, and waits for the answer. Only for the time before anything is consumed or published.
    pub(crate) async fn ask(&mut self, method: impl Into<Method>) -> Result<Method, Broken> {
        self.ask_on(CHANNEL, method).await
    }

    async fn ask_on(&mut self, channel: u16, method: impl Into<Method>) -> Result<Method, Broken> {
        self.put(channel, method);
        self.flush().await?;
        timeout(Duration::from_secs(ANSWER_SECONDS), self.answer()).await.unwrap_or(Err(Broken::Late(ANSWER_SECONDS)))
    }

    async fn answer(&mut self) -> Result<Method, Broken> {
        loop {
            while let Some(frame) = self.input.next(self.frame_max)? {
                match (frame.kind, notice(frame.payload, frame.kind)?) {
                    (FrameKind::Method, Notice::Answer(method)) => return Ok(method),
                    (FrameKind::Header | FrameKind::Body, _) => return Err(Broken::Unexpected("content")),
                    _ => {}
                }
            }
            self.ready(Interest::READABLE).await?;
            self.read()?;
            if let Some(greeting) = self.input.other_protocol() {
                return Err(Broken::Unwelcome(greeting));
            }
        }
    }

    /// Waits until the socket is ready for one of these.
    pub(crate) async fn ready(&self, interest: Interest) -> Result<(), Broken> {
        self.socket.ready(interest).await?;
        Ok(())
    }

    /// Says that we are there, where nothing was said for a while. To be called when it is time for it.
    ///
    /// # Errors
    ///
    /// [`Broken::Silent`] where the broker does not.
    pub(crate) fn chores(&mut self) -> Result<(), Broken> {
        let Some(every) = self.heartbeat else {
            self.chores_at = Instant::now() + NO_CHORES;
            return Ok(());
        };
        self.chores_at = Instant::now() + every / 2;
        if self.last_read.elapsed() > every * 2 {
            return Err(Broken::Silent(2 * every.as_secs()));
        }
        if self.last_written.elapsed() >= every / 2 && self.output.is_empty() {
            codec::put_heartbeat(&mut self.output);
        }
        Ok(())
    }

    /// Reads once what is there. Whether there was anything.
    pub(crate) fn read(&mut self) -> Result<bool, Broken> {
        match self.socket.try_read(self.input.room()) {
            Ok(0) => Err(Broken::Gone),
            Ok(count) => {
                self.input.filled(count);
                self.last_read = Instant::now();
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes as much of this as the socket takes, and says how much that was.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        match self.socket.try_write(bytes) {
            Ok(count) => {
                self.last_written = Instant::now();
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes as much of the output as the socket takes.
    pub(crate) fn write_output(&mut self) -> Result<(), Broken> {
        while !self.output.is_empty() {
            let output = std::mem::take(&mut self.output);
            let written = self.write(&output);
            self.output = output;
            match written? {
                0 => return Ok(()),
                count => self.output.advance(count),
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        loop {
            self.write_output()?;
            if self.output.is_empty() {
                return Ok(());
            }
            self.ready(Interest::WRITABLE).await?;
        }
    }

    /// Ends the connection in order: what was written before is served when this returns without an error.
    pub(crate) async fn close(mut self) -> Result<(), Broken> {
        let bye = ConnectionClose { reply_code: 200, reply_text: "bye".into(), ..Default::default() };
        self.put(0, bye);
        timeout(CLOSE, self.closed()).await.unwrap_or(Err(Broken::Late(CLOSE.as_secs())))
    }

    async fn closed(&mut self) -> Result<(), Broken> {
        loop {
            self.write_output()?;
            while let Some(frame) = self.input.next(self.frame_max)? {
                if let Notice::Answer(Method::ConnectionCloseOk(_)) = notice(frame.payload, frame.kind)? {
                    return Ok(());
                }
            }
            let writing =
                if self.output.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
            self.ready(writing).await?;
            self.read()?;
        }
    }

    /// Leaves a connection that broke; a broker that closed it, or its channel, is told that this was understood.
    pub(crate) fn leave(mut self, broken: &Broken) {
        if let Broken::Closed { .. } | Broken::Cancelled = broken {
            self.output.clear();
            self.put(CHANNEL, ChannelCloseOk {});
            self.put(0, ConnectionCloseOk {});
            // There is nobody to tell where this fails.
            let _ = self.write_output();
        }
    }
}

/// What a frame says that is neither a delivery nor a confirm.
#[derive(Debug, PartialEq)]
pub(crate) enum Notice {
    /// Nothing to be done about.
    Nothing,
    /// Publishers are to wait.
    Blocked,
    /// Publishers may go on.
    Unblocked,
    /// An answer, or whatever else.
    Answer(Method),
}

/// # Errors
///
/// [`Broken`] where it ends the channel or the connection, or is malformed.
pub(crate) fn notice(payload: &[u8], kind: FrameKind) -> Result<Notice, Broken> {
    if kind != FrameKind::Method {
        return Ok(Notice::Nothing);
    }
    let closed = |code: u16, text: &str| Broken::Closed { code, text: text.to_owned() };
    Ok(match Method::decode(&Bytes::copy_from_slice(payload))? {
        Method::ConnectionClose(close) => return Err(closed(close.reply_code, &close.reply_text)),
        Method::ChannelClose(close) => return Err(closed(close.reply_code, &close.reply_text)),
        Method::BasicCancel(_) => return Err(Broken::Cancelled),
        Method::ConnectionBlocked(_) => Notice::Blocked,
        Method::ConnectionUnblocked(_) => Notice::Unblocked,
        other => Notice::Answer(other),
    })
}

fn start_ok(uri: &Uri) -> ConnectionStartOk {
    let capabilities = Table::default()
        .with("authentication_failure_close", true)
        .with("basic.nack", true)
        .with("connection.blocked", true)
        .with("consumer_cancel_notify", true)
        .with("publisher_confirms", true);
    let client_properties = Table::default()
        .with("capabilities", capabilities)
        .with("product", "ferrymq bench")
        .with("version", env!("CARGO_PKG_VERSION"));
    ConnectionStartOk {
        client_properties,
        mechanism: "PLAIN".into(),
        response: format!("\0{}\0{}", uri.user, uri.password).into(),
        locale: "en_US".into(),
    }
}

/// The lower of what the broker offers, where 0 is no limit, and of what we want.
fn agree(tune: &ConnectionTune) -> ConnectionTuneOk {
    let frame_max = if tune.frame_max == 0 { FRAME_MAX } else { tune.frame_max.min(FRAME_MAX) };
    let heartbeat = if tune.heartbeat == 0 { HEARTBEAT_SECONDS } else { tune.heartbeat.min(HEARTBEAT_SECONDS) };
    ConnectionTuneOk { channel_max: tune.channel_max, frame_max, heartbeat }
}
