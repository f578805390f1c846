//! A client that says exactly what a test has it say.

use std::{net::SocketAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use ferrymq_amqp::{
    Settings,
    codec::{
        self, BasicConsume, BasicDeliver, BasicPublish, ChannelClose, ChannelOpen, ConfirmSelect, ConnectionClose,
        ConnectionOpen, ConnectionStartOk, ConnectionTuneOk, ContentHeader, Frame, FrameKind, Method, PROTOCOL_HEADER,
        QueueDeclare, Table,
    },
};
use ferrymq_testkit::FakeBroker;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::watch,
    task::JoinHandle,
};

pub(crate) const FRAME_MAX: u32 = 131_072;

/// A client's end of a connection, the task that serves the other end, and what stops that.
pub(crate) struct Client {
    pub(crate) socket: DuplexStream,
    pub(crate) server: JoinHandle<()>,
    pub(crate) shutdown: watch::Sender<bool>,
    input: BytesMut,
}

/// A message as it was read.
#[derive(Debug, PartialEq)]
pub(crate) struct Content {
    pub(crate) properties: Bytes,
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// Nothing is said yet.
    pub(crate) fn unspoken(broker: &FakeBroker, settings: Settings, buffer: usize) -> Self {
        let (socket, other) = tokio::io::duplex(buffer);
        let (shutdown, stopped) = watch::channel(false);
        let peer = SocketAddr::from(([127, 0, 0, 1], 40_000));
        let server = tokio::spawn(ferrymq_amqp::serve(broker.clone(), other, peer, Arc::new(settings), stopped));
        Self { socket, server, shutdown, input: BytesMut::new() }
    }

    /// With an open connection.
    pub(crate) async fn connected(broker: &FakeBroker) -> Self {
        Self::connected_with(broker, Settings::default(), 1 << 20).await
    }

    pub(crate) async fn connected_with(broker: &FakeBroker, settings: Settings, buffer: usize) -> Self {
        let mut client = Self::unspoken(broker, settings, buffer);
        client.log_in("guest", "guest").await;
        client.tune(0, 0, 0).await;
        assert!(matches!(client.method(0).await, Method::ConnectionOpenOk(_)));
        client
    }

    /// With an open connection and an open channel 1.
    pub(crate) async fn with_channel(broker: &FakeBroker) -> Self {
        let mut client = Self::connected(broker).await;
        client.open(1).await;
        client
    }

    pub(crate) async fn log_in(&mut self, user: &str, password: &str) {
        self.bytes(&PROTOCOL_HEADER).await;
        assert!(matches!(self.method(0).await, Method::ConnectionStart(_)));
        self.send(0, start_ok(user, password)).await;
    }

    /// Takes the offer with these changes, and opens the virtual host `/`.
    pub(crate) async fn tune(&mut self, channel_max: u16, frame_max: u32, heartbeat: u16) {
        assert!(matches!(self.method(0).await, Method::ConnectionTune(_)));
        self.send(0, ConnectionTuneOk { channel_max, frame_max, heartbeat }).await;
        self.send(0, ConnectionOpen { virtual_host: "/".into(), ..Default::default() }).await;
    }

    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn send(&mut self, channel: u16, method: impl Into<Method>) {
        let mut out = BytesMut::new();
        codec::put_method(&mut out, channel, &method.into());
        self.bytes(&out).await;
    }

    /// Sends, and gives the answer.
    pub(crate) async fn ask(&mut self, channel: u16, method: impl Into<Method>) -> Method {
        self.send(channel, method).await;
        self.method(channel).await
    }

    pub(crate) async fn open(&mut self, channel: u16) {
        assert!(matches!(self.ask(channel, ChannelOpen::default()).await, Method::ChannelOpenOk(_)));
    }

    pub(crate) async fn declare(&mut self, channel: u16, queue: &str) {
        let declare = QueueDeclare { queue: queue.into(), ..Default::default() };
        assert!(matches!(self.ask(channel, declare).await, Method::QueueDeclareOk(_)));
    }

    pub(crate) async fn confirm(&mut self, channel: u16) {
        assert!(matches!(self.ask(channel, ConfirmSelect::default()).await, Method::ConfirmSelectOk(_)));
    }

    pub(crate) async fn consume(&mut self, channel: u16, queue: &str, tag: &str) {
        let consume = BasicConsume { queue: queue.into(), consumer_tag: tag.into(), ..Default::default() };
        assert!(matches!(self.ask(channel, consume).await, Method::BasicConsumeOk(_)));
    }

    /// Publishes to a queue by the default exchange.
    pub(crate) async fn publish(&mut self, channel: u16, queue: &str, body: &[u8]) {
        let publish = BasicPublish { routing_key: queue.into(), ..Default::default() };
        self.publish_as(channel, publish, &[], body).await;
    }

    pub(crate) async fn publish_as(&mut self, channel: u16, publish: BasicPublish, properties: &[u8], body: &[u8]) {
        let mut out = BytesMut::new();
        codec::put_method(&mut out, channel, &publish.into());
        codec::put_content_header(&mut out, channel, body.len() as u64, properties);
        for piece in body.chunks(FRAME_MAX as usize - 8) {
            codec::put_body(&mut out, channel, piece);
        }
        self.bytes(&out).await;
    }

    /// The next frame, whatever it is; none where the broker closed the socket.
    pub(crate) async fn any_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = codec::take_frame(&mut self.input, FRAME_MAX).unwrap() {
                return Some(frame);
            }
            if self.socket.read_buf(&mut self.input).await.unwrap() == 0 {
                return None;
            }
        }
    }

    /// The next frame of a kind on a channel.
    async fn frame(&mut self, kind: FrameKind, channel: u16) -> Frame {
        let frame = self.any_frame().await.expect("the broker closed the socket");
        assert_eq!((frame.kind, frame.channel), (kind, channel), "{:?}", Method::decode(&frame.payload));
        frame
    }

    pub(crate) async fn method(&mut self, channel: u16) -> Method {
        Method::decode(&self.frame(FrameKind::Method, channel).await.payload).unwrap()
    }

    pub(crate) async fn content(&mut self, channel: u16) -> Content {
        let header = ContentHeader::decode(&self.frame(FrameKind::Header, channel).await.payload).unwrap();
        let mut body = Vec::new();
        while (body.len() as u64) < header.body_size {
            body.extend_from_slice(&self.frame(FrameKind::Body, channel).await.payload);
        }
        Content { properties: header.properties, body }
    }

    pub(crate) async fn delivery(&mut self, channel: u16) -> (BasicDeliver, Vec<u8>) {
        let Method::BasicDeliver(deliver) = self.method(channel).await else { panic!("not a delivery") };
        (deliver, self.content(channel).await.body)
    }

    /// What an acknowledged body and its tag are, for tests that care for nothing else.
    pub(crate) async fn delivered(&mut self, channel: u16) -> (u64, String) {
        let (deliver, body) = self.delivery(channel).await;
        (deliver.delivery_tag, String::from_utf8(body).unwrap())
    }

    /// Reads that the channel was closed, and gives code and text.
    pub(crate) async fn channel_closed(&mut self, channel: u16) -> (u16, String) {
        match self.method(channel).await {
            Method::ChannelClose(ChannelClose { reply_code, reply_text, .. }) => (reply_code, reply_text.to_string()),
            other => panic!("not closed: {other:?}"),
        }
    }

    /// Reads that the connection was closed, agrees, and sees the socket closed.
    pub(crate) async fn connection_closed(mut self) -> (u16, String) {
        let closed = match self.method(0).await {
            Method::ConnectionClose(ConnectionClose { reply_code, reply_text, .. }) => {
                (reply_code, reply_text.to_string())
            }
            other => panic!("not closed: {other:?}"),
        };
        self.send(0, codec::ConnectionCloseOk {}).await;
        self.socket_closed().await;
        closed
    }

    /// Sees the socket closed with nothing said before.
    pub(crate) async fn socket_closed(mut self) {
        assert_eq!(self.any_frame().await, None);
        self.server.await.unwrap();
    }

    /// A question whose answer shows that all before it was served.
    pub(crate) async fn sync(&mut self, channel: u16) {
        let qos = self.ask(channel, codec::BasicQos::default()).await;
        assert!(matches!(qos, Method::BasicQosOk(_)), "{qos:?}");
    }
}

pub(crate) fn start_ok(user: &str, password: &str) -> ConnectionStartOk {
    let capabilities = Table::default()
        .with("authentication_failure_close", true)
        .with("consumer_cancel_notify", true)
        .with("connection.blocked", true);
    ConnectionStartOk {
        client_properties: Table::default().with("capabilities", capabilities),
        mechanism: "PLAIN".into(),
        response: format!("\0{user}\0{password}").into(),
        locale: "en_US".into(),
    }
}

pub(crate) fn closed(code: u16, text: &str) -> (u16, String) {
    (code, text.to_owned())
}
